"""The analysis of a flag: every comparison, and the values behind them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from tidegate.v1 import flag_pb2
from tidegate_server.dashboard.environment import PRESENT, Environment
from tidegate_server.dashboard.pages.kit import Text, choices, link, node, section
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


async def analysis_page(
    page: Page, environment: Environment, flag: flag_pb2.Flag, choice: Choice
) -> None:
    """Show the analysis of a flag."""
    report = environment.report(flag.key, choice.phase, choice.control)
    page.follow(report)
    await page.first()
    names = views.outcome_names(report.value)
    outcome = choice.outcome or (LATENCY if LATENCY in names else next(iter(names), ""))
    choice = replace(choice, outcome=outcome)
    values = environment.distributions(flag.key, outcome, choice.phase)
    if outcome:
        page.follow(values)
        await page.first()
    variants = [variant.key for variant in flag.variants]
    path = f"/{environment.name}/flags/{flag.key}"
    with page.main:
        with node("div", "head"):
            with node("span", "crumbs"):
                link(environment.name, f"/{environment.name}")
                Text("span", " / ")
                link(flag.key, path)
            Text("h1", f"Analysis of {flag.key}")
        with section("What is compared"):
            phases = list(report.value.phases) if report.value else []
            _choose(path, choice, flag, variants, phases)
            lines = node("div", aria_live="polite")
        with section("Comparisons"):
            page.grid(lambda: views.comparisons_table(report.value))
        with section("Outcomes"):
            page.grid(lambda: views.outcomes_table(report.value))
        with section("Values"):
            _choose_outcome(path, choice, names)
            with node("div", "charts"):
                page.chart(
                    f"{outcome}: treatment less control at each percentile",
                    lambda: views.differences_chart(values.value, report.value, outcome, variants),
                    "tall",
                )
                page.chart(
                    f"{outcome}: share of the events by value",
                    lambda: views.distribution_chart(values.value, variants),
                    "tall",
                )
            page.legend(variants)

    def draw() -> None:
        lines.clear()
        with lines:
            for said in views.quality_lines(report.value):
                Text("p", said.text, f"note {said.tone}")

    page.draw(draw)


def _choose(
    path: str, choice: Choice, flag: flag_pb2.Flag, variants: Sequence[str], phases: Sequence[int]
) -> None:
    controls = [
        (
            f"against {name}",
            _address(path, replace(choice, control=name)),
            name == (choice.control or flag.default_variant),
        )
        for name in variants
    ]
    spans = [
        ("this phase", PRESENT),
        ("all phases, combined", 0),
        *((f"phase {phase}", phase) for phase in phases if phase != flag.phase),
    ]
    choices("Control", controls)
    choices(
        "Phases",
        [
            (name, _address(path, replace(choice, phase=phase)), phase == choice.phase)
            for name, phase in spans
        ],
    )


def _choose_outcome(path: str, choice: Choice, names: Sequence[str]) -> None:
    choices(
        "Outcome",
        [
            (name, _address(path, replace(choice, outcome=name)), name == choice.outcome)
            for name in names
        ],
    )


def _address(path: str, choice: Choice) -> str:
    return f"{path}/analysis?{choice.query()}"
