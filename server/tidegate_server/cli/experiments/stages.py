"""The stages of an experiment as a ladder: what is done, where it stands, what lies ahead."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from tidegate.model import PPM
from tidegate_server.cli.experiments.drawing import bar
from tidegate_server.cli.experiments.marks import Marks
from tidegate_server.domain.checks import percent
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.plan import Plan, Stage
from tidegate_server.domain.experiments.state import State, Status

_WIDTH = 20


def show_stages(plan: Plan, state: State, marks: Marks) -> Table:
    """Lay out a line for each stage: its share, and what it asks for."""
    table = Table.grid(padding=(0, 2))
    here = _present(plan, state)
    for index, stage in enumerate(plan.stages):
        mark = marks.done if index < here else marks.present if index == here else marks.ahead
        style = "bold" if index == here else "dim" if index > here else ""
        table.add_row(
            mark,
            Text(stage.name),
            Text(percent(stage.share_ppm), justify="right"),
            bar(stage.share_ppm / PPM, _WIDTH, marks),
            Text(", ".join(_asks(stage))),
            style=style,
        )
    return table


def _present(plan: Plan, state: State) -> int:
    """Return the index of the stage it stands in; of none before the first, or past the last."""
    if state.status in (Status.DRAFT, Status.PREFLIGHT):
        return -1
    past = state.status in (Status.WATCHING, Status.SUCCEEDED)
    return len(plan.stages) if past else state.stage


def _asks(stage: Stage) -> Iterator[str]:
    if stage.bake:
        yield f"bakes for {format_duration(stage.bake)}"
    if stage.min_units:
        yield f"{stage.min_units:,} units"
    if stage.decide:
        yield "decides"
    if stage.approval:
        yield "needs approval"
    if stage.replicas:
        yield "follows replicas"
