"""GrowthBook's statistics, from sums: the classes themselves, without its data frames.

Here for the absolute difference at a fixed horizon alone.
"""

from benchmarks.analysis_peers.data import CONTROL, METRICS, TREATMENT, sums
from benchmarks.analysis_peers.stopwatch import Answer, serve

REQUIREMENTS = ("gbstats==0.8.0",)


def main(*, everything: bool = False) -> None:
    """Serve. everything: relative and always-valid intervals and p-values too."""
    from gbstats.frequentist.tests import (
        FrequentistConfig,
        SequentialConfig,
        SequentialTwoSidedTTest,
        TwoSidedTTest,
    )
    from gbstats.models.statistics import SampleMeanStatistic

    tests = [(TwoSidedTTest, FrequentistConfig(difference_type="absolute"))]
    if everything:
        tests += [
            (TwoSidedTTest, FrequentistConfig(difference_type="relative")),
            (SequentialTwoSidedTTest, SequentialConfig(difference_type="absolute")),
            (SequentialTwoSidedTTest, SequentialConfig(difference_type="relative")),
        ]
    arms = [sums(CONTROL), sums(TREATMENT)]

    def work() -> list[Answer]:
        found = []
        for _ in METRICS:
            control, treatment = (
                SampleMeanStatistic(n=number, sum=total, sum_squares=squares)
                for number, total, squares in arms
            )
            results = [test(control, treatment, how).compute_result() for test, how in tests]
            found.append((float(results[0].expected), *map(float, results[0].ci)))
        return found

    serve(work)


if __name__ == "__main__":
    main()
