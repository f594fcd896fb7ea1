"""tea-tasting, from rows that DuckDB sums by unit."""

from benchmarks.analysis_peers.data import METRICS, events
from benchmarks.analysis_peers.stopwatch import Answer, serve
from benchmarks.analysis_peers.tea_tasting import REQUIREMENTS as REQUIREMENTS
from benchmarks.analysis_peers.tea_tasting import compare_units


def main() -> None:
    """Serve."""
    import ibis
    import pyarrow as pa

    unit, treated, columns = events()
    rows = pa.table({"unit": unit, "variant": treated[unit].astype("int8"), **columns})
    database = ibis.duckdb.connect()
    database.con.register("rows", rows)
    database.raw_sql("create table events as select * from rows")
    table = database.table("events")

    def work() -> list[Answer]:
        sums = {name: table[name].sum() for name in METRICS}
        by_unit = table.group_by("unit").agg(variant=table["variant"].min(), **sums)
        return compare_units(by_unit)

    serve(work)


if __name__ == "__main__":
    main()
