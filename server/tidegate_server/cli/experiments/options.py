"""Arguments and options that several commands share."""

import getpass
import socket
from pathlib import Path
from typing import Annotated

import typer

ExperimentFileArgument = Annotated[
    Path, typer.Argument(metavar="FILE.yaml", help="The experiment file.")
]
ExperimentKeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Key of the experiment.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
WhyOption = Annotated[str, typer.Option(help="Why: it is kept in the log.")]
ActorOption = Annotated[
    str,
    typer.Option(
        envvar="TIDEGATE_ACTOR",
        help="Who asks: it is kept in the log. [default: user@host]",
        show_default=False,
    ),
]


def actor_or_user(actor: str) -> str:
    """Return who asks: as said, else the user of this machine."""
    return actor or f"{getpass.getuser()}@{socket.gethostname()}"
