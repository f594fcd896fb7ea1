"""`tidegate replica …`: the running model servers behind flags."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tidegate.v1 import replica_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, PAGE_SIZE, all_pages, connect
from tidegate_server.cli.options import common
from tidegate_server.cli.render import new_console, new_table, print_text

replica_app = typer.Typer(
    help="Look at replicas (running model servers), and take them out of traffic.",
    no_args_is_help=True,
)

ReplicaIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Name of the replica.")]

_STYLES = {"ready": "green", "failed": "bold red", "gone": "red"}


@replica_app.command("list")
def list_replicas(
    context: typer.Context,
    flag: Annotated[
        str,
        typer.Argument(metavar="[FLAG]", help="Only replicas of this flag.", show_default=False),
    ] = "",
) -> None:
    """List replicas, those that are gone too, for an hour."""
    with connect(common(context).server) as stubs:

        def ask(token: str) -> replica_service_pb2.ListReplicasResponse:
            request = replica_service_pb2.ListReplicasRequest(
                flag_key=flag, page_size=PAGE_SIZE, page_token=token
            )
            return stubs.replicas.ListReplicas(request, timeout=CALL_SECONDS)

        replicas = [each for page in all_pages(ask) for each in page.replicas]
    if replicas:
        new_console().print(_show(replicas))
    else:
        whose = f"flag {flag} has" if flag else "there are"
        print_text(f"{whose} no replicas: model servers register by a tidegate.replicas.Agent")


@replica_app.command()
def drain(context: typer.Context, replica: ReplicaIdArgument) -> None:
    """Take a replica out of traffic; `undrain` puts it back."""
    _drain(context, replica, undo=False)
    print_text(f"drained replica {replica}: it takes no new traffic, and is told to load nothing")


@replica_app.command()
def undrain(context: typer.Context, replica: ReplicaIdArgument) -> None:
    """Put a replica back, and forget what it could not load."""
    _drain(context, replica, undo=True)
    print_text(f"put replica {replica} back")


def _drain(context: typer.Context, replica: str, *, undo: bool) -> None:
    with connect(common(context).server) as stubs:
        request = replica_service_pb2.DrainReplicaRequest(id=replica, undo=undo)
        stubs.replicas.DrainReplica(request, timeout=CALL_SECONDS)


def _show(replicas: Sequence[replica_service_pb2.Replica]) -> RenderableType:
    table = new_table(
        "replica", "flag", "variant", "state", "load", "address", "heard", "", numbers=["load"]
    )
    now = datetime.now(UTC)
    for each in replicas:
        state = replica_service_pb2.ReplicaState.Name(each.state)
        word = state.removeprefix("REPLICA_STATE_").lower()
        heard = (now - each.heartbeat_time.ToDatetime(tzinfo=UTC)).total_seconds()
        table.add_row(
            Text(each.id),
            Text(each.flag_key),
            Text(each.variant or "none"),
            Text(word, style=_STYLES.get(word, "yellow")),
            f"{each.load:.2f}",
            Text(each.address),
            f"{max(0.0, heard):.0f} s ago",
            Text("; ".join(_remarks(each))),
        )
    return table


def _remarks(replica: replica_service_pb2.Replica) -> list[str]:
    """Say what is out of the ordinary."""
    remarks = [replica.change] if replica.change else ["drained"] if replica.drained else []
    remarks += ["fixed"] if replica.fixed else []
    return [*remarks, replica.problem] if replica.problem else remarks
