"""Decisions of experiments, for people: in a line, in a table, and one with all its figures."""

from collections.abc import Collection, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidegate.model import Metric
from tidegate_server.cli.experiments.figures import compared, show_figures, show_over_time
from tidegate_server.cli.experiments.marks import marks_for
from tidegate_server.cli.experiments.styles import styled
from tidegate_server.cli.render import new_table
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Decision, NumberedDecision, Seen
from tidegate_server.experiment_text import status_words, verdict_words
from tidegate_server.report_text import NOTHING


def decision_line(numbered: NumberedDecision) -> Text:
    """Write a decision in one line."""
    decision = numbered.decision
    return Text(
        f"{_time(decision)} {decision.action} in {decision.stage}, "
        f"{percent(decision.after.share_ppm)}: {decision.why}"
    )


def show_log(decisions: Sequence[NumberedDecision]) -> Table:
    """Lay out a line for each decision."""
    table = new_table(
        *("#", "time", "action", "actor", "stage", "phase", "from", "to", "share", "look", "why"),
        numbers=("#", "phase", "share"),
    )
    for numbered in decisions:
        decision = numbered.decision
        table.add_row(
            str(numbered.number),
            _time(decision),
            Text(decision.action, style="bold"),
            Text(decision.actor),
            Text(decision.stage),
            Text(str(decision.phase or NOTHING)),
            styled(status_words(decision.before.status)),
            styled(status_words(decision.after.status)),
            _share(decision),
            _look(decision),
            Text(decision.why),
        )
    return table


def show_decision(
    plan: Plan,
    numbered: NumberedDecision,
    looks: Sequence[Seen],
    metrics: Collection[Metric],
    console: Console,
) -> RenderableType:
    """Lay out one decision: why in a sentence, then all that led to it. looks: until then."""
    decision, marks = numbered.decision, marks_for(console)
    head = Text.assemble(
        (f"{plan.key}: decision {numbered.number}, {decision.action}", "bold"),
        f" in {decision.stage}: {decision.why}",
    )
    facts = Table.grid(padding=(0, 2))
    for name, said in (
        ("when", Text(_time(decision))),
        ("who", Text(decision.actor)),
        (
            "from",
            Text.assemble(
                styled(status_words(decision.before.status)),
                " to ",
                styled(status_words(decision.after.status)),
            ),
        ),
        ("share", Text(_share(decision))),
        ("phase", Text(str(decision.phase or "the flag was gone"))),
        ("revision", Text(str(numbered.revision) if numbered.revision else "the split stayed")),
        ("look", _look(decision)),
        ("units", Text(_units(decision))),
        ("attempt", Text(str(decision.after.attempt))),
    ):
        facts.add_row(Text(name, style="dim"), said)
    parts: list[RenderableType] = [head, facts]
    if decision.measured:
        parts.append(show_figures(decision.measured, metrics, marks))
    parts += [
        show_over_time(metric, looks, metrics, marks)
        for metric in compared(decision.measured)
        if metric in decision.why
    ]
    return Group(*parts)


def _time(decision: Decision) -> str:
    return f"{decision.time.astimezone():%Y-%m-%d %H:%M:%S}"


def _share(decision: Decision) -> str:
    before, after = decision.before.share_ppm, decision.after.share_ppm
    return percent(after) if before == after else f"{percent(before)} → {percent(after)}"


def _look(decision: Decision) -> Text:
    """Say what the look found; what a person asked for follows from none."""
    return Text(NOTHING) if decision.verdict is None else styled(verdict_words(decision.verdict))


def _units(decision: Decision) -> str:
    return NOTHING if decision.units is None else f"{decision.units:,.0f} in the smaller arm"
