"""The analysis of a flag: every comparison, and the values behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlencode

from tidegate.v1 import flag_pb2
from tidegate_server.dashboard.environment import PRESENT, Environment
from tidegate_server.dashboard.pages.kit import Target, Text, choices, link, node, section
from tidegate_server.dashboard.pages.of_flag import PageOfFlag
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.dashboard.views import analysis as views
from tidegate_server.report_text import LATENCY


@dataclass(frozen=True, slots=True)
class Choice:
    """What is compared. phase: 0: all; PRESENT: the present one. control: empty: the default."""

    control: str = ""
    phase: int = PRESENT
    outcome: str = ""

    def query(self) -> str:
        """Return it as a part of the page's address."""
        phase = {} if self.phase == PRESENT else {"phase": self.phase or "all"}
        control = {"control": self.control} if self.control else {}
        outcome = {"outcome": self.outcome} if self.outcome else {}
        return urlencode({**control, **phase, **outcome})


def phase_of(text: str) -> int:
    """Return the phase that an address names; the present one where it names none."""
    if text == "all":
        return 0
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 18 else PRESENT


class AnalysisPage(PageOfFlag):
    """The page of an analysis under construction."""

    def __init__(
        self, page: Page, environment: Environment, flag: flag_pb2.Flag, choice: Choice
    ) -> None:
        super().__init__(page, environment, flag)
        self._choice = choice
        self._report = environment.report(flag.key, choice.phase, choice.control)

    async def show(self) -> None:
        """Show it. Values are shown as soon as there are outcomes."""
        page, report, key = self._page, self._report, self._last.key
        page.follow(report)
        await page.first()
        with page.main:
            with node("div", "head"):
                with node("span", "crumbs"):
                    link(self._environment.name, f"/{self._environment.name}")
                    Text("span", " / ")
                    link(key, self._path)
                Text("h1", f"Analysis of {key}")
            with section("What is compared"):
                self._choose("Control", self._controls)
                self._choose("Phases", self._phases)
                lines = node("div", aria_live="polite")
            with section("Comparisons"):
                page.grid(lambda: views.comparisons_table(report.value))
            with section("Outcomes"):
                page.grid(lambda: views.outcomes_table(report.value))
            values = node("div")

        def draw() -> None:
            lines.clear()
            with lines:
                for said in views.quality_lines(report.value):
                    Text("p", said.text, f"note {said.tone}")
            if self._outcome and not values.default_slot.children:
                with values, section("Values"):
                    self._values(self._outcome)

        page.draw(draw)

    def _values(self, outcome: str) -> None:
        page, report = self._page, self._report
        values = self._environment.distributions(self._last.key, outcome, self._choice.phase)
        page.follow(values)
        self._choose("Outcome", self._outcomes)
        with node("div", "charts"):
            page.chart(
                f"{outcome}: treatment less control at each percentile",
                lambda: views.differences_chart(
                    values.value, report.value, outcome, self._variants()
                ),
                "tall",
            )
            page.chart(
                f"{outcome}: share of the events by value",
                lambda: views.distribution_chart(values.value, self._variants()),
                "tall",
            )
        page.legend(self._variants)

    @property
    def _outcome(self) -> str:
        """The outcome whose values are shown; empty while there is none."""
        names = views.outcome_names(self._report.value)
        return self._choice.outcome or (LATENCY if LATENCY in names else next(iter(names), ""))

    def _choose(self, label: str, targets: Callable[[], Sequence[Target]]) -> None:
        """Show choices, and keep them current."""
        self._page.fill(node("div"), targets, partial(choices, label))

    def _controls(self) -> list[Target]:
        control = self._choice.control or self._flag.default_variant
        return [
            (f"against {name}", self._address(replace(self._choice, control=name)), name == control)
            for name in self._variants()
        ]

    def _phases(self) -> list[Target]:
        report, chosen = self._report.value, self._choice
        spans = [
            ("this phase", PRESENT),
            ("all phases, combined", 0),
            *(
                (f"phase {phase}", phase)
                for phase in (report.phases if report else ())
                if phase != self._flag.phase or phase == chosen.phase
            ),
        ]
        return [
            (name, self._address(replace(chosen, phase=phase)), phase == chosen.phase)
            for name, phase in spans
        ]

    def _outcomes(self) -> list[Target]:
        shown = self._outcome
        return [
            (name, self._address(replace(self._choice, outcome=name)), name == shown)
            for name in views.outcome_names(self._report.value)
        ]

    def _address(self, choice: Choice) -> str:
        query = choice.query()
        return f"{self._path}/analysis{'?' if query else ''}{query}"
