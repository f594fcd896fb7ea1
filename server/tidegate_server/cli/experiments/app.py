"""The commands of `tidegate experiment`."""

import typer

from tidegate_server.cli.experiments.delete import delete
from tidegate_server.cli.experiments.log import explain, log
from tidegate_server.cli.experiments.requests import add_requests
from tidegate_server.cli.experiments.simulate import simulate
from tidegate_server.cli.experiments.start import start, validate
from tidegate_server.cli.experiments.status import list_all, status
from tidegate_server.cli.experiments.watch import watch

experiment_app = typer.Typer(
    help="Roll out a variant in stages that run, hold, roll back and promote by themselves.",
    no_args_is_help=True,
)
experiment_app.command()(validate)
experiment_app.command()(simulate)
experiment_app.command()(start)
experiment_app.command("list")(list_all)
experiment_app.command()(status)
experiment_app.command()(watch)
experiment_app.command()(log)
experiment_app.command()(explain)
add_requests(experiment_app)
experiment_app.command()(delete)
