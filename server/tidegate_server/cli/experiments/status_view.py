"""Where an experiment stands, for people."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidegate.model import Metric
from tidegate_server.cli.experiments.figures import compared, show_figures, show_over_time
from tidegate_server.cli.experiments.marks import marks_for
from tidegate_server.cli.experiments.stages import show_stages
from tidegate_server.cli.experiments.styles import styled
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Experiment, Seen
from tidegate_server.domain.experiments.state import State
from tidegate_server.experiment_text import (
    follows,
    share_words,
    status_words,
    verdict_words,
    waits_for,
)

DRAWN_LOOKS = 60
"""As many are drawn beside each other."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown of an experiment.

    looks: of this attempt, evenly chosen, the last among them. metrics: of the flag.
    """

    experiment: Experiment
    looks: Sequence[Seen]
    metrics: Collection[Metric]


def show_status(picture: Picture, console: Console, now: datetime) -> RenderableType:
    """Lay out where an experiment stands: stages, what it waits for, and the figures."""
    plan, state = picture.experiment.plan, picture.experiment.state
    marks, looks = marks_for(console), picture.looks
    parts: list[RenderableType] = [
        _headline(plan, state, now),
        show_stages(plan, state, marks),
        _facts(plan, state, looks, now),
    ]
    measured = looks[-1].measured if looks else ()
    if measured:
        parts.append(show_figures(measured, picture.metrics, marks))
    parts += [
        show_over_time(metric, looks, picture.metrics, marks) for metric in compared(measured)[:1]
    ]
    return Group(*parts)


def _headline(plan: Plan, state: State, now: datetime) -> Text:
    said = styled(status_words(state.status))
    attempt = f", attempt {state.attempt}" if state.attempt > 1 else ""
    return Text.assemble(
        (plan.key, "bold"), ": ", said, f" on {plan.flag}: {share_words(plan, state)}{attempt}"
    )


def _facts(plan: Plan, state: State, looks: Sequence[Seen], now: datetime) -> Table:
    table = Table.grid(padding=(0, 2))
    if state.since is not None:
        table.add_row("decided", Text(f"{ago(state.since, now)}: {state.reason}"))
    if looks:
        last = looks[-1]
        reasons = f": {'; '.join(last.reasons)}" if last.reasons else ""
        line = Text(f"{ago(last.time, now)}: ").append_text(styled(verdict_words(last.verdict)))
        table.add_row("last look", line.append(reasons))
    waiting = waits_for(plan, state)
    if waiting:
        table.add_row("waits for", Text(", ").join(map(styled, waiting)))
    following = follows(plan, state)
    if following:
        table.add_row("then", Text(following))
    for memory in state.memories:
        said = f"{status_words(memory.status).text}: {memory.why}"
        table.add_row(f"attempt {memory.attempt}", Text(f"{ago(memory.time, now)}: {said}"))
    return table


def ago(time: datetime, now: datetime) -> str:
    """Write a moment, and how long ago it was."""
    passed = format_duration(max(now, time) - time)
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S} ({passed} ago)"
