"""`tidegate experiment validate` and `start`: from a file to a running experiment."""

from typing import Annotated, Any

import typer
from google.protobuf import json_format

from tidegate.v1 import experiment_service_pb2
from tidegate_server.cli import flag_diff
from tidegate_server.cli.connection import CALL_SECONDS, CallRefused, Stubs, connect
from tidegate_server.cli.experiment_file import ExperimentFile, read_experiment_file
from tidegate_server.cli.experiments.calls import find_experiment
from tidegate_server.cli.experiments.options import (
    ActorOption,
    ExperimentFileArgument,
    WhyOption,
    actor_or_user,
)
from tidegate_server.cli.experiments.requests import ask, outcome
from tidegate_server.cli.options import common
from tidegate_server.cli.render import print_text
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.requests import ALLOWED, Request
from tidegate_server.domain.experiments.state import Status
from tidegate_server.errors import ConfigurationError, InvalidField
from tidegate_server.experiment_text import status_words
from tidegate_server.wire.experiments import plan_to_message


def validate(
    context: typer.Context,
    file: ExperimentFileArgument,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check the file by itself, without a server.")
    ] = False,
) -> None:
    """Check an experiment file, and whether the server has its flag and its variants."""
    experiment_file = read_experiment_file(file)
    if not offline:
        with connect(common(context).server) as stubs:
            _check(stubs, experiment_file)
    plan = experiment_file.plan
    stages = ", ".join(f"{each.name} {percent(each.share_ppm)}" for each in plan.stages)
    print_text(f"{file}: nothing is wrong: {plan.treatment} against {plan.control}: {stages}")
    _note_what_is_not_shown(plan)


def start(
    context: typer.Context,
    file: ExperimentFileArgument,
    draft: Annotated[
        bool, typer.Option("--draft", help="Only create it; `start` again starts it.")
    ] = False,
    why: WhyOption = "",
    actor: ActorOption = "",
) -> None:
    """Create the experiment that a file describes, and start it."""
    experiment_file, server = read_experiment_file(file), common(context).server
    key = experiment_file.plan.key
    with connect(server) as stubs:
        current = find_experiment(stubs, key)
        if current is None:
            _create(stubs, experiment_file)
            _note_what_is_not_shown(experiment_file.plan)
        else:
            _check_draft(experiment_file, current)
    if draft:
        print_text(f"experiment {key} is a draft: `tidegate experiment start {file}` starts it")
        return
    try:
        with connect(server) as stubs:
            print_text(outcome(ask(stubs, key, Request.START, actor_or_user(actor), why)))
    except CallRefused as error:
        message = f"{error}\nit stays a draft: mend that and start it again"
        raise CallRefused(message, error.code) from error


def _note_what_is_not_shown(plan: Plan) -> None:
    """Say that a promotion of this plan shows less than its goal and its margins may suggest."""
    if plan.compares and not any(each.decide for each in plan.stages):
        named = ", ".join(map(str, dict.fromkeys(plan.compared)))
        print_text(
            f"note: no stage decides, so {plan.treatment} is promoted unless harm is shown, "
            f"whatever becomes of {named}: add `decide: true` to a stage that must show it"
        )


def _create(stubs: Stubs, experiment_file: ExperimentFile) -> None:
    _check(stubs, experiment_file)
    request = experiment_service_pb2.CreateExperimentRequest(
        plan=plan_to_message(experiment_file.plan)
    )
    stubs.experiments.CreateExperiment(request, timeout=CALL_SECONDS)


def _check(stubs: Stubs, experiment_file: ExperimentFile) -> None:
    """Let the server check a plan; what it finds is named by its place in the file."""
    request = experiment_service_pb2.ValidateExperimentRequest(
        plan=plan_to_message(experiment_file.plan)
    )
    found = stubs.experiments.ValidateExperiment(request, timeout=CALL_SECONDS).problems
    if found:
        raise experiment_file.refused(InvalidField(each.field, each.problem) for each in found)


def _check_draft(experiment_file: ExperimentFile, current: Experiment) -> None:
    """Check that what is there is a draft of the very plan."""
    key, status = current.plan.key, current.state.status
    if status is not Status.DRAFT:
        retriable = status in ALLOWED[Request.RETRY]
        command, does = ("retry", "starts it once more") if retriable else ("status", "shows it")
        raise ConfigurationError(
            f"experiment {key!r} exists, and is {status_words(status).text}: "
            f"`tidegate experiment {command} {key}` {does}; for another plan choose another key"
        )
    there, wanted = map(_plain, (current.plan, experiment_file.plan))
    lines = "\n".join(flag_diff.differences("", there, wanted))
    if lines:
        raise ConfigurationError(
            f"experiment {key!r} is a draft of another plan, and a plan can't be changed: "
            f"`tidegate experiment delete {key}` first, or choose another key\n{lines}"
        )


def _plain(plan: Plan) -> dict[str, Any]:
    found = json_format.MessageToDict(plan_to_message(plan), preserving_proto_field_name=True)
    return dict(found)
