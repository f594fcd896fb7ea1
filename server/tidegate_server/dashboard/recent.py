"""What happened in the last moments: figures of the windows that have just closed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tidegate_server.dashboard.points import EXPOSURES, Point, SeriesTable
from tidegate_server.report_text import ERROR, LATENCY, NOTHING, figure, number

RECENT = timedelta(seconds=30)
"""A multiple of the shortest window."""


def requests(table: SeriesTable, variant: str) -> list[tuple[Point, float]]:
    """Return each closed window with its events a second: of the outcome that has most."""
    most: dict[float, Point] = {}
    for (own, outcome), points in table.series.items():
        if own == variant and outcome != EXPOSURES:
            for point in points:
                key = point.start.timestamp()
                if key not in most or point.count > most[key].count:
                    most[key] = point
    seconds = table.span.window.total_seconds()
    return [
        (point, point.count / seconds) for _, point in sorted(most.items()) if _closed(table, point)
    ]


def recent_columns(outcomes: Sequence[str]) -> list[str]:
    """Return what `recent_cells` tells."""
    return ["QPS", "p50 ms", "p95 ms", "p99 ms", "error rate", *_others(outcomes)]


def recent_cells(table: SeriesTable, variant: str, outcomes: Sequence[str]) -> list[str]:
    """Write what a variant did in the last moments: the quantiles are of the last closed window.

    table: in windows that are no longer than RECENT.
    """
    since = table.span.window_of(table.read) - RECENT
    rates = [rate for point, rate in requests(table, variant) if point.start >= since]
    latest = _closed_since(table, (variant, LATENCY), since)[-1:]
    quantiles = latest[0].quantiles if latest else ()
    return [
        number(sum(rates) * (table.span.window / RECENT)) if rates else NOTHING,
        *(map(number, quantiles) if quantiles else [NOTHING] * 3),
        *(
            _mean(name, _closed_since(table, (variant, name), since))
            for name in (ERROR, *_others(outcomes))
        ),
    ]


def _others(outcomes: Sequence[str]) -> list[str]:
    return [name for name in outcomes if name not in (ERROR, LATENCY)]


def _closed(table: SeriesTable, point: Point) -> bool:
    return point.start + table.span.window <= table.read


def _closed_since(table: SeriesTable, name: tuple[str, str], since: datetime) -> list[Point]:
    return [
        point
        for point in table.series.get(name, ())
        if point.start >= since and _closed(table, point)
    ]


def _mean(outcome: str, points: Sequence[Point]) -> str:
    count = sum(point.count for point in points)
    if not count:
        return NOTHING
    return figure(outcome, sum(point.count * point.mean for point in points) / count)
