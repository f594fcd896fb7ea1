"""tea-tasting, from moments."""

from typing import Any

from benchmarks.analysis_peers.data import CONTROL, METRICS, TREATMENT
from benchmarks.analysis_peers.stopwatch import Answer, serve

REQUIREMENTS = (
    "tea-tasting==1.14.0",
    "polars==2.1.0",
    "ibis-framework[duckdb]==12.0.0",
    "duckdb==2.0.1",
    "pyarrow==26.0.1",
    "pandas==3.1.1",
)


def compare_units(by_unit: Any) -> list[Answer]:
    """Compare the metrics of a table with a row for each unit."""
    from tea_tasting import Experiment, Mean

    found = Experiment({name: Mean(name) for name in METRICS}).analyze(by_unit, control=0)
    results = [found[name] for name in METRICS]
    return [(r.effect_size, r.effect_size_ci_lower, r.effect_size_ci_upper) for r in results]


def main() -> None:
    """Serve."""
    from tea_tasting import Mean
    from tea_tasting.aggr import Aggregates

    control, treatment = (
        Aggregates(number, dict.fromkeys(METRICS, mean), dict.fromkeys(METRICS, variance), {})
        for number, mean, variance in (CONTROL, TREATMENT)
    )

    def work() -> list[Answer]:
        found = [Mean(name).analyze_aggregates(control, treatment) for name in METRICS]
        return [(r.effect_size, r.effect_size_ci_lower, r.effect_size_ci_upper) for r in found]

    serve(work)


if __name__ == "__main__":
    main()
