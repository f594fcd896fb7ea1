"""The commands of `tidegate experiment`."""

import typer

from tidegate_server.cli.experiments.simulate import simulate

experiment_app = typer.Typer(
    help="Roll out a variant in stages that run, hold, roll back and promote by themselves.",
    no_args_is_help=True,
)
experiment_app.command()(simulate)
