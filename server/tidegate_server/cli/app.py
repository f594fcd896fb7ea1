"""The command `tidegate`: its commands, and how its errors end."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import grpc
import typer

from tidegate.errors import TidegateError
from tidegate_server.cli.connection import status_of
from tidegate_server.cli.demo import demo
from tidegate_server.cli.doctor import doctor
from tidegate_server.cli.experiments import experiment_app
from tidegate_server.cli.explain import explain
from tidegate_server.cli.flags import flag_app
from tidegate_server.cli.health import health
from tidegate_server.cli.holdout import holdout
from tidegate_server.cli.options import DEFAULT_SERVER, Common
from tidegate_server.cli.plan import plan
from tidegate_server.cli.rejected import rejected_app
from tidegate_server.cli.replicas import replica_app
from tidegate_server.cli.report import report
from tidegate_server.cli.roles import controller, dashboard, server, worker
from tidegate_server.cli.segments import segment_app
from tidegate_server.cli.up import up
from tidegate_server.errors import TidegateServerError
from tidegate_server.redaction import without_secrets

FAILURE, INTERRUPTED = 1, 130
"""Exit codes; a wrong command line is 2, by Typer."""

app = typer.Typer(
    help="Feature flags, experiment assignment and staged rollouts for model versions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.command()(server)
app.command()(worker)
app.command()(controller)
app.command()(dashboard)
app.command()(health)
app.command()(doctor)
app.command()(report)
app.command()(plan)
app.command()(demo)
app.command()(explain)
app.command()(holdout)
app.add_typer(flag_app, name="flag")
app.add_typer(segment_app, name="segment")
app.add_typer(experiment_app, name="experiment")
app.add_typer(replica_app, name="replica")
app.add_typer(rejected_app, name="rejected")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidegate {version('tidegate')}")
        raise typer.Exit


@app.callback()
def _before_the_command(
    context: typer.Context,
    server: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            envvar="TIDEGATE_SERVER",
            help="The server that commands talk to.",
        ),
    ] = DEFAULT_SERVER,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="TIDEGATE_DEBUG", help="Show tracebacks.")
    ] = False,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    context.obj = Common(server)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code. Errors become one message on standard error."""
    try:
        app(args=list(arguments), prog_name="tidegate")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge: every error becomes a message
        if "--debug" in arguments or os.environ.get("TIDEGATE_DEBUG"):
            sys.stderr.write(without_secrets("".join(traceback.format_exception(error))))
        sys.stderr.write(without_secrets(_message(error)))
        return FAILURE
    return 0


def _message(error: Exception) -> str:
    if isinstance(error, grpc.RpcError):
        code, details = status_of(error)
        return f"error: {details or code.name}\n"
    if isinstance(error, TidegateServerError | TidegateError):
        return "error: " + "\n  ".join(str(error).splitlines()) + "\n"
    kind = type(error).__name__
    return f"error: unexpected {kind}: {error}; run it again with --debug for the traceback\n"
