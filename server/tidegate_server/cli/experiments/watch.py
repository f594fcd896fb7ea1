"""`tidegate experiment watch`: an experiment as it goes on, until its end."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import grpc
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tidegate.v1 import experiment_service_pb2
from tidegate_server.cli.connection import CallRefused, ServerUnreachable, Stubs, connect
from tidegate_server.cli.experiments.calls import get_experiment, list_decisions, read_decisions
from tidegate_server.cli.experiments.log_view import decision_line
from tidegate_server.cli.experiments.options import ExperimentKeyArgument
from tidegate_server.cli.experiments.status import look_at
from tidegate_server.cli.experiments.status_view import show_status
from tidegate_server.cli.options import common
from tidegate_server.cli.render import new_console
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
        get_experiment(stubs, key)  # what is not there is refused, rather than waited for
    end = _live(server, key, console) if console.is_terminal else _lines(server, key, console)
    raise typer.Exit(0 if end is Status.SUCCEEDED else 1)


def _live(server: str, key: str, console: Console) -> Status:
    """Show it in place."""
    with Live(console=console, auto_refresh=False) as live:

        def show(stubs: Stubs, experiment: Experiment) -> None:
            picture = look_at(stubs, experiment)
            live.update(show_status(picture, console, datetime.now(UTC)), refresh=True)

        def away(why: str) -> None:
            said = Text(f"{why}; trying again", style="yellow")
            live.update(Group(live.get_renderable(), said), refresh=True)

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
                    if response.HasField("deleted_key"):
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
