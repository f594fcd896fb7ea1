"""Commands by which people intervene: pause, resume, approve and so on."""

from collections.abc import Callable

import typer

from tidegate.v1 import experiment_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, Stubs, connect
from tidegate_server.cli.experiments.options import (
    ActorOption,
    ExperimentKeyArgument,
    WhyOption,
    actor_or_user,
)
from tidegate_server.cli.options import common
from tidegate_server.cli.render import print_text
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.requests import Request
from tidegate_server.experiment_text import share_words, status_words
from tidegate_server.wire.experiments import experiment_from_message

HELP = {
    Request.PAUSE: "Stop going on; what protects from harm goes on. `resume` undoes it.",
    Request.RESUME: "Go on after a pause: the stage gets its share again, its clock starts anew.",
    Request.APPROVE: "Approve of leaving a stage that is left only so.",
    Request.SKIP: "Skip what the present stage, the preflight or the watch waits for.",
    Request.ABORT: "End it: back to control.",
    Request.PROMOTE: "Give the treatment everything now, where no approval lies ahead.",
    Request.RETRY: "Start it once more, after it was rolled back, rejected or aborted.",
}
"""What each command says of itself."""


def ask(stubs: Stubs, key: str, request: Request, actor: str, why: str) -> Experiment:
    """Ask for something; return the experiment afterwards."""
    name = f"{request.capitalize()}Experiment"
    message = getattr(experiment_service_pb2, f"{name}Request")(key=key, actor=actor, why=why)
    answer = getattr(stubs.experiments, name)(message, timeout=CALL_SECONDS)
    return experiment_from_message(answer.experiment)


def outcome(experiment: Experiment) -> str:
    """Say what came of a request."""
    return f"{where(experiment)}\n  {experiment.state.reason}"


def where(experiment: Experiment) -> str:
    """Say in a line where an experiment stands."""
    plan, state = experiment.plan, experiment.state
    return f"experiment {plan.key}: {status_words(state.status).text}, {share_words(plan, state)}"


def add_requests(app: typer.Typer) -> None:
    """Add a command for each request but the start."""
    for request, text in HELP.items():
        app.command(request.value, help=text)(_command(request))


def _command(request: Request) -> Callable[..., None]:
    def command(
        context: typer.Context,
        key: ExperimentKeyArgument,
        why: WhyOption = "",
        actor: ActorOption = "",
    ) -> None:
        with connect(common(context).server) as stubs:
            print_text(outcome(ask(stubs, key, request, actor_or_user(actor), why)))

    return command
