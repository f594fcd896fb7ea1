"""What the options before the command say, and options that several commands share."""

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tidegate_server.errors import ConfigurationError

DEFAULT_SERVER = "localhost:7070"


@dataclass(frozen=True, slots=True)
class Common:
    """The options before the command. server: host:port of the server that commands talk to."""

    server: str


def common(context: typer.Context) -> Common:
    """Return the options before the command."""
    found = context.find_object(Common)
    if found is None:
        raise AssertionError("the command line's callback did not run")
    return found


def confirm(command: str, question: str) -> None:
    """Ask before something is deleted; end the command if it shall not be.

    Raises:
        ConfigurationError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{command}: there is no terminal to ask at; add --yes")
    if not typer.confirm(question):
        raise typer.Exit(1)


class Output(StrEnum):
    """How a flag or a segment is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


FlagKeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Key of the flag.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ListenOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address of the gRPC server; port 0 takes any free one. "
        "[env: TIDEGATE_LISTEN; default: 127.0.0.1:7070]",
        show_default=False,
    ),
]
DashboardListenOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address of the dashboard; port 0 takes any free one. "
        "[env: TIDEGATE_DASHBOARD_LISTEN; default: 127.0.0.1:7071]",
        show_default=False,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        help="Directory of the embedded store, of logs and of locks. "
        "[env: TIDEGATE_DATA_DIR; default: .tidegate]",
        show_default=False,
    ),
]
EnvironmentOption = Annotated[
    str | None,
    typer.Option(
        help="Name of the isolated set of flags. [env: TIDEGATE_ENVIRONMENT; default: prod]",
        show_default=False,
    ),
]
