"""`tidegate experiment watch`: an experiment as it goes on, until its end."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import grpc
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tidegate.v1 import experiment_service_pb2
from tidegate_server.cli.connection import CallRefused, ServerUnreachable, Stubs, connect
from tidegate_server.cli.experiments.calls import get_experiment, list_decisions, read_decisions
from tidegate_server.cli.experiments.log_view import decision_line
from tidegate_server.cli.experiments.options import ExperimentKeyArgument
from tidegate_server.cli.experiments.requests import where
from tidegate_server.cli.experiments.status import look_at
from tidegate_server.cli.experiments.status_view import show_status
from tidegate_server.cli.options import common
from tidegate_server.cli.render import new_console, print_text
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import ENDED, Status
from tidegate_server.errors import ConfigurationError
from tidegate_server.wire.experiments import experiment_from_message

_RETRY_SECONDS = 1.0

Show = Callable[[Stubs, Experiment], None]
"""Shows an experiment that has changed, or of which time has passed."""


def watch(context: typer.Context, key: ExperimentKeyArgument) -> None:
    """Show an experiment as it goes on, until its end; exit code 0 if it succeeded, else 1."""
    server, console = common(context).server, new_console()
    with connect(server) as stubs:
        experiment = get_experiment(stubs, key)
    if console.is_terminal:
        end = _live(server, key, console)
    else:
        print_text(where(experiment))
        end = _lines(server, key, console)
    raise typer.Exit(0 if end is Status.SUCCEEDED else 1)


def _live(server: str, key: str, console: Console) -> Status:
    """Show it in place."""
    shown: RenderableType = ""
    with Live(console=console, auto_refresh=False) as live:

        def show(stubs: Stubs, experiment: Experiment) -> None:
            nonlocal shown
            shown = show_status(look_at(stubs, experiment), console, datetime.now(UTC))
            live.update(shown, refresh=True)

        def away(why: str) -> None:
            live.update(Group(shown, Text(f"{why}; trying again", style="yellow")), refresh=True)

        return _follow(server, key, show, away)


def _lines(server: str, key: str, console: Console) -> Status:
    """Print a line for each decision."""
    seen = 0

    def show(stubs: Stubs, experiment: Experiment) -> None:
        nonlocal seen
        for each in read_decisions(list_decisions(stubs, key, after=seen)):
            console.print(decision_line(each))
            seen = each.number

    def away(why: str) -> None:
        console.print(Text(f"{why}; trying again"))

    return _follow(server, key, show, away)


def _follow(server: str, key: str, show: Show, away: Callable[[str], None]) -> Status:
    """Follow an experiment to its end; a server that is away for a while does not end it."""
    request = experiment_service_pb2.WatchExperimentsRequest(key=key)
    experiment: Experiment | None = None
    while True:
        try:
            with connect(server) as stubs:
                for response in stubs.experiments.WatchExperiments(request):
                    gone = response.complete and experiment is None
                    if gone or response.HasField("deleted_key"):
                        raise ConfigurationError(f"experiment {key!r} was deleted")
                    if response.HasField("experiment"):
                        experiment = experiment_from_message(response.experiment)
                    if experiment is not None:
                        show(stubs, experiment)
                        if experiment.state.status in ENDED:
                            return experiment.state.status
            away(f"the server at {server} ended the stream")
        except ServerUnreachable as error:
            away(str(error))
        except CallRefused as error:
            if error.code is not grpc.StatusCode.UNAVAILABLE:
                raise
            away(str(error))
        time.sleep(_RETRY_SECONDS)
