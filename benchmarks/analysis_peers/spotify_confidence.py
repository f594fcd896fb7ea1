"""Spotify's confidence, from a data frame of sums: its only way in."""

from benchmarks.analysis_peers.data import CONTROL, METRICS, TREATMENT, sums
from benchmarks.analysis_peers.stopwatch import Answer, serve

REQUIREMENTS = ("spotify-confidence==4.1.0",)


def main() -> None:
    """Serve."""
    import warnings

    warnings.simplefilter("ignore")
    import pandas as pd
    from spotify_confidence import StudentsTTest

    columns = ["metric", "variant", "units", "total", "squares"]
    arms = {"control": sums(CONTROL), "treatment": sums(TREATMENT)}
    frame = pd.DataFrame([(m, arm, *of) for m in METRICS for arm, of in arms.items()])
    frame.columns = columns

    def work() -> list[Answer]:
        test = StudentsTTest(
            frame,
            numerator_column="total",
            numerator_sum_squares_column="squares",
            denominator_column="units",
            categorical_group_columns=["variant", "metric"],
            interval_size=0.95,
        )
        found = test.difference(level_1="control", level_2="treatment", groupby="metric")
        return list(zip(found["difference"], found["ci_lower"], found["ci_upper"], strict=True))

    serve(work)


if __name__ == "__main__":
    main()
