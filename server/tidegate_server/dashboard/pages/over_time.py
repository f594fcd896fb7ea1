"""How variants do: in the last moments, and over time."""

from collections.abc import Callable, Sequence
from datetime import datetime

from tidegate_server.dashboard import cells, charts
from tidegate_server.dashboard.cells import Column, Row, Table
from tidegate_server.dashboard.charts import Line, Mark, Options
from tidegate_server.dashboard.components.grid import Grid
from tidegate_server.dashboard.feeds import Feed
from tidegate_server.dashboard.pages.kit import Chart, Text, node
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.dashboard.points import SPANS, SeriesTable, Span
from tidegate_server.dashboard.recent import recent_cells, recent_columns, requests
from tidegate_server.report_text import ERROR, LATENCY

_TITLES = {
    ERROR: "Error rate",
    "rating": "User satisfaction (mean rating)",
    "cost_usd": "Cost of a request, USD",
}
_QUANTILES = ("p50", "p95", "p99")


class OverTime:
    """A section with figures of the last moments and a chart for each outcome.

    path: of the page, which other spans are linked from. variants: in the order of their colours.
    marks: what happened.
    """

    def __init__(
        self,
        page: Page,
        feed: Feed[SeriesTable],
        span: Span,
        path: str,
        variants: Callable[[], Sequence[str]],
        marks: Callable[[], Sequence[Mark]],
    ) -> None:
        self._page = page
        self._feed = feed
        self._span = span
        self._variants = variants
        self._marks = marks
        self._charts: dict[str, Chart] = {}
        with node("section", "section", aria_label="Over time"):
            with node("div", "bar"):
                Text("h2", "Live and over time")
                with node("nav", "spans", aria_label="Time span"):
                    for each in SPANS:
                        current = {"aria_current": "true"} if each is span else {}
                        Text("a", each.label, href=f"{path}?span={each.label}", **current)
            self._recent = Grid(self._recent_table())
            self._box = node("div", "charts")
        page.draw(self._draw)

    def _recent_table(self) -> Table:
        table = self._feed.value
        outcomes = table.outcomes if table else ()
        columns = recent_columns(outcomes)
        return Table(
            "In the last moments",
            [Column("last 30 s"), *(Column(name, number=True) for name in columns)],
            [
                Row(name, [cells.text(name), *map(cells.text, recent_cells(table, name, outcomes))])
                for name in self._variants()
            ]
            if table and outcomes
            else [],
            f"No events in the last {self._span.label}. Applications report them with",
            "choice.track(latency_ms=120)",
        )

    def _draw(self) -> None:
        self._recent.show(self._recent_table())
        table = self._feed.value
        if table is None:
            return
        for label, options in self._all_options(table):
            if label in self._charts:
                self._charts[label].show(options)
            else:
                with self._box:
                    self._charts[label] = Chart(label, options)

    def _all_options(self, table: SeriesTable) -> list[tuple[str, Options]]:
        outcomes = table.outcomes
        made: list[tuple[str, Options]] = []
        if LATENCY in outcomes:
            lines = [
                Line(
                    f"{name} {quantile}", self._points(table, name, LATENCY, number), place, number
                )
                for place, name in enumerate(self._variants())
                for number, quantile in enumerate(_QUANTILES)
            ]
            made.append(("Latency, ms: p50, p95, p99", self._chart(table, lines)))
        if outcomes:
            lines = [
                Line(name, [(point.start, rate) for point, rate in requests(table, name)], place)
                for place, name in enumerate(self._variants())
            ]
            made.append(("Requests a second", self._chart(table, lines, from_zero=True)))
        for outcome in sorted(outcomes, key=lambda name: (name not in _TITLES, name)):
            if outcome != LATENCY:
                lines = [
                    Line(name, self._points(table, name, outcome), place)
                    for place, name in enumerate(self._variants())
                ]
                title = _TITLES.get(outcome, f"Mean of {outcome}")
                is_rate = outcome == ERROR
                options = self._chart(table, lines, from_zero=is_rate, percent=is_rate)
                made.append((title, options))
        return made

    def _points(
        self, table: SeriesTable, variant: str, outcome: str, quantile: int | None = None
    ) -> list[tuple[datetime, float]]:
        points = table.series.get((variant, outcome), ())
        if quantile is None:
            return [(point.start, point.mean) for point in points]
        return [(point.start, point.quantiles[quantile]) for point in points]

    def _chart(
        self,
        table: SeriesTable,
        lines: Sequence[Line],
        *,
        from_zero: bool = False,
        percent: bool = False,
    ) -> Options:
        return charts.time_chart(
            [line for line in lines if line.points],
            start=self._span.start(table.read),
            end=table.read,
            window=self._span.window,
            utc=self._page.zone.is_utc,
            from_zero=from_zero,
            percent=percent,
            marks=self._marks(),
        )
