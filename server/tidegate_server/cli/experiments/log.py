"""`tidegate experiment log` and `explain`: what was decided, and why."""

from collections.abc import Sequence
from typing import Annotated

import typer

from tidegate_server.cli.connection import Stubs, connect
from tidegate_server.cli.experiments.calls import (
    MOST_LOOKS,
    as_json,
    get_experiment,
    get_metrics,
    list_decisions,
    list_looks,
    read_decisions,
)
from tidegate_server.cli.experiments.log_view import show_decision, show_log
from tidegate_server.cli.experiments.options import ExperimentKeyArgument, JsonOption
from tidegate_server.cli.experiments.status_view import DRAWN_LOOKS
from tidegate_server.cli.options import common
from tidegate_server.cli.render import new_console, print_text
from tidegate_server.domain.experiments.records import Decision, Seen
from tidegate_server.errors import InvalidField


def log(context: typer.Context, key: ExperimentKeyArgument, json: JsonOption = False) -> None:
    """List all decisions: what was done, by whom, and why."""
    with connect(common(context).server) as stubs:
        found = list_decisions(stubs, key)
    if json:
        print_text(as_json(found))
    elif found:
        new_console().print(show_log(read_decisions(found)))
    else:
        print_text(f"nothing was decided yet: start it with `tidegate experiment start {key}.yaml`")


def explain(
    context: typer.Context,
    key: ExperimentKeyArgument,
    number: Annotated[
        int | None, typer.Argument(min=1, help="Number of the decision; default: the last.")
    ] = None,
) -> None:
    """Tell why something was decided, with all the figures that led to it."""
    console = new_console()
    with connect(common(context).server) as stubs:
        experiment = get_experiment(stubs, key)
        decisions = {each.number: each for each in read_decisions(list_decisions(stubs, key))}
        if not decisions:
            raise InvalidField("NUMBER", f"nothing was decided of experiment {key!r} yet")
        last = max(decisions)
        wanted = decisions.get(number or last)
        if wanted is None:
            raise InvalidField("NUMBER", f"there is no decision {number}: give 1 to {last}")
        looks = _until(stubs, key, wanted.decision)
        metrics = get_metrics(stubs, experiment.plan.flag)
    console.print(show_decision(experiment.plan, wanted, looks, metrics, console))


def _until(stubs: Stubs, key: str, decision: Decision) -> Sequence[Seen]:
    """Return what looks of the attempt saw until a decision: evenly chosen ones, and the last."""
    if not decision.measured or decision.after.started is None:
        return ()
    looks = list_looks(stubs, key, MOST_LOOKS, decision.after.started)
    before = [each for each in looks if each.time <= decision.time]
    return before[:: -max(1, -(-len(before) // DRAWN_LOOKS))][::-1]
