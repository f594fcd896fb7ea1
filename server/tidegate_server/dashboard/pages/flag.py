"""One flag: its split now and over time, who gets what, how variants do, who has it."""

from collections.abc import Callable
from datetime import UTC, datetime

from nicegui import ui
from nicegui.element import Element

from tidegate.v1 import flag_pb2
from tidegate_server.dashboard.cells import Table
from tidegate_server.dashboard.environment import PRESENT, Environment, Report
from tidegate_server.dashboard.feeds import Feed
from tidegate_server.dashboard.pages.flag_actions import FlagActions
from tidegate_server.dashboard.pages.kit import Text, choices, link, node, section
from tidegate_server.dashboard.pages.of_flag import PageOfFlag
from tidegate_server.dashboard.pages.over_time import OverTime
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.dashboard.points import SPANS, Span
from tidegate_server.dashboard.texts import FlagTexts
from tidegate_server.dashboard.views import flag as views
from tidegate_server.dashboard.views.overview import experiments_table
from tidegate_server.dashboard.words import changed_at, flag_words


class FlagPage(PageOfFlag):
    """A flag's page under construction."""

    def __init__(
        self, page: Page, environment: Environment, flag: flag_pb2.Flag, texts: FlagTexts
    ) -> None:
        super().__init__(page, environment, flag)
        self._texts = texts
        self._revisions = environment.revisions(flag.key)
        self._watchers = environment.watchers

    async def show(self, span: Span, *, all_phases: bool) -> None:
        """Show it. span: of charts. all_phases: rather than the present one."""
        key = self._last.key
        report = self._environment.report(key, 0 if all_phases else PRESENT)
        series, live = (self._environment.series(key, each) for each in (span, SPANS[0]))
        self._page.follow(report, series, live, self._revisions)
        await self._page.first()
        with self._page.main:
            self._head(report)
            with section("Variants"):
                choices(
                    "Phases",
                    [
                        ("this phase", f"{self._path}?span={span.label}", not all_phases),
                        ("all phases", f"{self._path}?span={span.label}&phases=all", all_phases),
                    ],
                )
                self._page.grid(
                    lambda: views.variants_table(self._flag, report.value, all_phases=all_phases)
                )
                link("Compare the variants", f"{self._path}/analysis", "note")
            OverTime(
                self._page,
                series,
                live,
                span,
                self._path,
                self._variants,
                lambda: views.marks(self._revisions.value or ()),
            )
            self._columns()
            with section(
                "Targeting", hint="Looked at in this order; the first that applies decides."
            ):
                self._page.grid(lambda: views.targeting_table(self._flag))
            with section("Experiments on this flag"):
                self._page.grid(self._experiments)
            with section("Changes"):
                self._page.grid(
                    lambda: views.changes_table(
                        self._revisions.value or (), self._texts, self._page.zone
                    )
                )

    def _experiments(self) -> Table:
        known = self._environment.experiments.value
        return experiments_table(self._environment.name, known, self._page.zone, self._last.key)

    def _columns(self) -> None:
        zone = self._page.zone
        with node("div", "cols"):
            with section("Split over time"):
                self._page.chart(
                    "Share of the units by variant",
                    lambda: views.shares_chart(self._revisions.value, _minute(), zone),
                )
                self._page.legend(self._variants)
            with section("Who has which revision"):
                line = Text("p", "", "hint")

                def draw() -> None:
                    line.text = views.reached_words(self._watchers.value, self._flag)

                self._page.draw(draw)
                self._page.grid(lambda: views.watchers_table(self._watchers.value, self._flag))

    def _head(self, report: Feed[Report]) -> None:
        page, key = self._page, self._last.key
        actions = FlagActions(page, self._environment, key, self._texts, report)
        with node("div", "head"):
            with node("span", "crumbs"):
                link(self._environment.name, f"/{self._environment.name}")
            Text("h1", key)
            state = Text("span", "", "pill")
            facts = Text("span", "", "quiet")
            buttons = node("div", "actions")
            switch = _buttons(buttons, actions) if page.session.operates else None
            description = Text("p", "", "lead")

        def draw() -> None:
            known = self._environment.flag(key)
            buttons.set_visibility(known is not None)
            if known is None:
                state.text, facts.text = "deleted", "It was deleted: this is what was last known."
                return
            state.say(flag_words(known))
            stamp = page.zone.stamp(changed_at(known))
            facts.text = f"revision {known.revision:,}, phase {known.phase:,}, changed {stamp}"
            description.text = known.description
            if switch is not None:
                switch.text = "Revive …" if known.killed else "Kill …"

        page.draw(draw)


def _buttons(box: Element, actions: FlagActions) -> ui.button:
    """Make the buttons; return that of the kill switch."""

    def button(label: str, open_dialog: Callable[[], None], kind: str) -> ui.button:
        made = ui.button(label, color=None, on_click=open_dialog)
        return made.props("flat no-caps dense").classes(kind)

    with box:
        button("Change split …", actions.change_split, "plain")
        button("Edit …", actions.edit, "plain")
        return button("Kill …", actions.switch, "danger")


def _minute() -> datetime:
    """Return now, by the minute: charts need not be sent more often for it."""
    return datetime.now(UTC).replace(second=0, microsecond=0)
