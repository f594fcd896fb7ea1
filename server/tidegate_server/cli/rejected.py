"""`tidegate rejected`: batches of events that the worker could not fold and set aside."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tidegate_server.cli.options import DataDirOption, EnvironmentOption, YesOption
from tidegate_server.cli.render import new_console, new_table, print_text
from tidegate_server.cli.store_settings import store_settings

if TYPE_CHECKING:
    from tidegate_server.storage.rejected import RejectedBatches

rejected_app = typer.Typer(
    help="See, retry or discard batches of events that could not be counted.",
    no_args_is_help=True,
)
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="As `rejected list` shows it: shard/id.")
]
T = TypeVar("T")


@rejected_app.command("list")
def list_rejected(data_dir: DataDirOption = None, environment: EnvironmentOption = None) -> None:
    """List them, with the reasons."""
    batches = _run(lambda batches: batches.all(), data_dir, environment)
    if not batches:
        print_text("no batch was rejected")
        return
    table = new_table("name", "time", "bytes", "reason", numbers=["bytes"])
    for each in batches:
        table.add_row(each.name, each.time.isoformat(" ", "seconds"), f"{each.size:,}", each.reason)
    new_console().print(table)


@rejected_app.command()
def retry(
    name: NameArgument, data_dir: DataDirOption = None, environment: EnvironmentOption = None
) -> None:
    """Put a batch back into its stream: after a fix it will be counted, once."""
    _run(lambda batches: batches.retry(name), data_dir, environment)
    print_text(f"{name} will be folded again")


@rejected_app.command()
def discard(
    name: NameArgument,
    data_dir: DataDirOption = None,
    environment: EnvironmentOption = None,
    yes: YesOption = False,
) -> None:
    """Delete a batch for good."""
    if not yes:
        typer.confirm(f"Delete the events of {name} for good?", abort=True)
    _run(lambda batches: batches.discard(name), data_dir, environment)
    print_text(f"{name} is deleted")


def _run(
    work: "Callable[[RejectedBatches], Awaitable[T]]",
    data_dir: DataDirOption,
    environment: EnvironmentOption,
) -> T:
    from tidegate_server.bootstrap.checks import (
        with_rejected,  # loads what other commands do without
    )

    return asyncio.run(with_rejected(store_settings(data_dir, environment), work))
