"""A section that shows how variants do: in the last moments, and over time."""

from collections.abc import Callable, Sequence

from tidegate_server.dashboard.charts import Mark
from tidegate_server.dashboard.feeds import Feed
from tidegate_server.dashboard.pages.kit import Chart, Text, choices, node
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.dashboard.points import SPANS, SeriesTable, Span
from tidegate_server.dashboard.views.over_time import outcome_charts, recent_table


class OverTime:
    """The section; charts are added as outcomes come.

    feed: of what is drawn over `span`. live: of the shortest span. path: of the page, which other
    spans are linked from. variants: in the order of their colours. marks: what happened.
    """

    def __init__(
        self,
        page: Page,
        feed: Feed[SeriesTable],
        live: Feed[SeriesTable],
        span: Span,
        path: str,
        variants: Callable[[], Sequence[str]],
        marks: Callable[[], Sequence[Mark]],
    ) -> None:
        self._page = page
        self._feed = feed
        self._variants = variants
        self._marks = marks
        self._charts: dict[str, Chart] = {}
        with node("section", "section"):
            with node("div", "bar"):
                Text("h2", "Live and over time")
                targets = [
                    (each.label, f"{path}?span={each.label}", each == span) for each in SPANS
                ]
                choices("Time span", targets)
            page.grid(lambda: recent_table(live.value, variants()))
            page.legend(variants, quantiles=True)
            self._box = node("div", "charts")
        page.draw(self._draw)

    def _draw(self) -> None:
        table = self._feed.value
        if table is None:
            return
        marks, variants = self._marks(), self._variants()
        for label, options in outcome_charts(table, variants, marks, self._page.zone):
            if label in self._charts:
                self._charts[label].show(options)
            else:
                with self._box:
                    self._charts[label] = Chart(label, options)
