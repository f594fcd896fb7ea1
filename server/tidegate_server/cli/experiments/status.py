"""`tidegate experiment list` and `status`: where experiments stand."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from tidegate_server.cli.connection import Stubs, connect
from tidegate_server.cli.experiments.calls import (
    as_json,
    get_message,
    get_metrics,
    list_experiments,
    list_looks,
)
from tidegate_server.cli.experiments.options import ExperimentKeyArgument, JsonOption
from tidegate_server.cli.experiments.status_view import DRAWN_LOOKS, Picture, ago, show_status
from tidegate_server.cli.experiments.styles import styled
from tidegate_server.cli.options import common
from tidegate_server.cli.render import new_console, new_table, print_text
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import stage_of
from tidegate_server.experiment_text import status_words
from tidegate_server.report_text import NOTHING
from tidegate_server.wire.experiments import experiment_from_message


def list_all(
    context: typer.Context,
    flag: Annotated[str, typer.Option(help="Only those on this flag.")] = "",
    json: JsonOption = False,
) -> None:
    """List experiments."""
    with connect(common(context).server) as stubs:
        found = list_experiments(stubs, flag)
    if json:
        print_text(as_json(found))
        return
    if not found:
        print_text("there are no experiments: start one with `tidegate experiment start FILE.yaml`")
        return
    table = new_table("experiment", "flag", "treatment", "share", "status", "stage", "since", "why")
    now = datetime.now(UTC)
    for message in found:
        experiment = experiment_from_message(message)
        plan, state = experiment.plan, experiment.state
        table.add_row(
            Text(plan.key),
            Text(plan.flag),
            Text(plan.treatment),
            percent(state.share_ppm),
            styled(status_words(state.status)),
            Text(stage_of(plan, state).name),
            ago(state.since, now) if state.since else NOTHING,
            Text(state.reason),
        )
    new_console().print(table)


def status(context: typer.Context, key: ExperimentKeyArgument, json: JsonOption = False) -> None:
    """Show where an experiment stands, what it waits for, and what is known."""
    console = new_console()
    with connect(common(context).server) as stubs:
        message = get_message(stubs, key)
        if json:
            print_text(as_json(message))
            return
        picture = look_at(stubs, experiment_from_message(message))
    console.print(show_status(picture, console, datetime.now(UTC)))


def look_at(stubs: Stubs, experiment: Experiment) -> Picture:
    """Fetch what is shown of an experiment."""
    plan = experiment.plan
    return Picture(
        experiment,
        list_looks(stubs, plan.key, DRAWN_LOOKS, experiment.state.started),
        get_metrics(stubs, plan.flag),
    )
