"""`tidegate flag kill` and `flag revive`: the kill switch."""

import grpc
import typer

from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, Stubs, connect, status_of
from tidegate_server.cli.flag_calls import get_flag
from tidegate_server.cli.options import FlagKeyArgument, common
from tidegate_server.cli.render import print_text

_ATTEMPTS = 10
"""How often a change is tried while others change the flag too."""


def kill(context: typer.Context, key: FlagKeyArgument) -> None:
    """Give everyone the flag's default variant, at once; `flag revive` undoes it."""
    _set(context, key, killed=True)


def revive(context: typer.Context, key: FlagKeyArgument) -> None:
    """Switch a killed flag on again: overrides, rules and split decide as before."""
    _set(context, key, killed=False)


def _set(context: typer.Context, key: str, *, killed: bool) -> None:
    with connect(common(context).server) as stubs:
        flag = get_flag(stubs, key)
        if flag.killed is killed:
            state = "killed" if killed else "not killed"
            print_text(f"flag {key} is {state} already, at revision {flag.revision}")
            return
        flag = _update(stubs, flag, killed=killed)
    if killed:
        print_text(
            f"killed flag {key} at revision {flag.revision}: everyone is given "
            f"{flag.default_variant}"
        )
    else:
        print_text(f"revived flag {key} at revision {flag.revision}")


def _update(stubs: Stubs, flag: flag_pb2.Flag, *, killed: bool) -> flag_pb2.Flag:
    """Change the switch alone, whatever others change of the flag meanwhile."""
    for attempt in range(1, _ATTEMPTS + 1):
        flag.killed = killed
        request = flag_service_pb2.UpdateFlagRequest(flag=flag)
        try:
            return stubs.flags.UpdateFlag(request, timeout=CALL_SECONDS).flag
        except grpc.RpcError as error:
            if status_of(error)[0] is not grpc.StatusCode.ABORTED or attempt == _ATTEMPTS:
                raise
        flag = get_flag(stubs, flag.key)
    raise AssertionError("the last attempt returns or raises")
