"""How variants do over time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tidegate_server.dashboard import cells, charts
from tidegate_server.dashboard.cells import Column, Row, Table
from tidegate_server.dashboard.charts import Line, Mark, Options
from tidegate_server.dashboard.points import SPANS, SeriesTable
from tidegate_server.dashboard.recent import recent_cells, recent_columns, requests
from tidegate_server.dashboard.words import Zone
from tidegate_server.report_text import ERROR, LATENCY

_TITLES = {
    ERROR: "Error rate",
    "rating": "User satisfaction (mean rating)",
    "cost_usd": "Cost of a request, USD",
}
_LEAST = timedelta(minutes=2)
"""What is young is shown over so long a time at least."""

_QUANTILES = ("p50", "p95", "p99")


def recent_table(table: SeriesTable | None, variants: Sequence[str]) -> Table:
    """Lay out what each variant did in the last moments. table: of the shortest span."""
    outcomes = table.outcomes if table else ()
    return Table(
        "In the last moments",
        [
            Column("last 30 s"),
            *(Column(name, number=True) for name in recent_columns(outcomes)),
        ],
        [
            Row(name, [cells.text(name), *map(cells.text, recent_cells(table, name, outcomes))])
            for name in variants
        ]
        if table and outcomes
        else [],
        f"No events in the last {SPANS[0].label}. Applications report them with",
        "choice.track(latency_ms=120)",
    )


def outcome_charts(
    table: SeriesTable, variants: Sequence[str], marks: Sequence[Mark], zone: Zone
) -> list[tuple[str, Options]]:
    """Return a chart for each outcome, with its label. variants: in the order of their colours."""
    outcomes = table.outcomes
    first = min((points[0].start for points in table.series.values()), default=table.read)
    start = max(table.read - table.span.length, min(first, table.read - _LEAST))

    def chart(lines: Sequence[Line], *, is_rate: bool = False, from_zero: bool = False) -> Options:
        return charts.time_chart(
            [line for line in lines if line.points],
            start=start,
            end=table.read,
            window=table.span.window,
            utc=zone.is_utc,
            from_zero=from_zero or is_rate,
            percent=is_rate,
            marks=marks,
        )

    made: list[tuple[str, Options]] = []
    if LATENCY in outcomes:
        lines = [
            Line(f"{name} {quantile}", _points(table, name, LATENCY, which), place, which)
            for place, name in enumerate(variants)
            for which, quantile in enumerate(_QUANTILES)
        ]
        made.append(("Latency, ms: p50, p95, p99", chart(lines)))
    if outcomes:
        lines = [
            Line(name, [(point.start, rate) for point, rate in requests(table, name)], place)
            for place, name in enumerate(variants)
        ]
        made.append(("Requests a second", chart(lines, from_zero=True)))
    for outcome in sorted(outcomes, key=lambda name: (name not in _TITLES, name)):
        if outcome != LATENCY:
            lines = [
                Line(name, _points(table, name, outcome), place)
                for place, name in enumerate(variants)
            ]
            title = _TITLES.get(outcome, f"Mean of {outcome}")
            made.append((title, chart(lines, is_rate=outcome == ERROR)))
    return made


def _points(
    table: SeriesTable, variant: str, outcome: str, quantile: int | None = None
) -> list[tuple[datetime, float]]:
    points = table.series.get((variant, outcome), ())
    if quantile is None:
        return [(point.start, point.mean) for point in points]
    return [(point.start, point.quantiles[quantile]) for point in points]
