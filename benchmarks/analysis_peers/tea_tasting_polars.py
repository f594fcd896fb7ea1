"""tea-tasting, from rows that Polars sums by unit."""

from benchmarks.analysis_peers.data import METRICS, events
from benchmarks.analysis_peers.stopwatch import Answer, serve
from benchmarks.analysis_peers.tea_tasting import REQUIREMENTS as REQUIREMENTS
from benchmarks.analysis_peers.tea_tasting import compare_units


def main() -> None:
    """Serve."""
    import polars as pl

    unit, treated, columns = events()
    frame = pl.DataFrame({"unit": unit, "variant": treated[unit].astype("int8"), **columns})

    def work() -> list[Answer]:
        sums = [pl.first("variant"), *(pl.sum(name) for name in METRICS)]
        # Collected here: a lazy frame would be summed once for each thing that is asked of it.
        by_unit = frame.lazy().group_by("unit").agg(sums).collect()
        return compare_units(by_unit)

    serve(work)


if __name__ == "__main__":
    main()
