"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ExperimentFileArgument = Annotated[
    Path, typer.Argument(metavar="FILE.yaml", help="The experiment file.")
]
ExperimentKeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Key of the experiment.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
