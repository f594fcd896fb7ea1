"""`tidegate flag apply`: makes a flag what a file says."""

from pathlib import Path
from typing import Annotated

import grpc
import typer

from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.cli import flag_diff
from tidegate_server.cli.connection import CALL_SECONDS, CallRefused, Stubs, connect
from tidegate_server.cli.flag_calls import find_flag
from tidegate_server.cli.flag_file import FlagFile, read_flag_file
from tidegate_server.cli.options import common
from tidegate_server.cli.render import print_text, show_moves, show_split


def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The flag file.")],
) -> None:
    """Create the flag that a file describes, or change it to what the file says."""
    flag_file = read_flag_file(file)
    try:
        with connect(common(context).server) as stubs:
            current = find_flag(stubs, flag_file.flag.key)
            report = _create(stubs, flag_file) if current is None else ""
            print_text(report or _update(stubs, flag_file, current or flag_pb2.Flag()))
    except CallRefused as error:
        if error.code is grpc.StatusCode.INVALID_ARGUMENT:
            raise flag_file.refused(str(error)) from error
        raise


def _create(stubs: Stubs, flag_file: FlagFile) -> str:
    request = flag_service_pb2.CreateFlagRequest(flag=flag_file.flag)
    flag = stubs.flags.CreateFlag(request, timeout=CALL_SECONDS).flag
    return f"created flag {flag.key} at revision {flag.revision}: {show_split(flag.split)}"


def _update(stubs: Stubs, flag_file: FlagFile, current: flag_pb2.Flag) -> str:
    _check_immutable(flag_file, current)
    wanted = flag_file.following(current)
    lines = flag_diff.changes(current, wanted)
    if not lines:
        state = " and killed" if current.killed else ""
        return f"flag {wanted.key} is unchanged{state} at revision {current.revision}"
    request = flag_service_pb2.UpdateFlagRequest(flag=wanted)
    flag = stubs.flags.UpdateFlag(request, timeout=CALL_SECONDS).flag
    return "\n".join(
        [
            f"changed flag {flag.key} at revision {flag.revision}:",
            *(f"  {line}" for line in lines),
            _effect(current, flag),
        ]
    )


def _effect(before: flag_pb2.Flag, after: flag_pb2.Flag) -> str:
    moves = flag_diff.moves(before, after)
    if after.phase != before.phase and not moves:
        return "the split moves no unit, but who takes part has changed: another phase begins"
    return show_moves(moves, verb="move")


def _check_immutable(flag_file: FlagFile, current: flag_pb2.Flag) -> None:
    """Refuse here, with its place in the file, what the server would refuse."""
    wanted = flag_file.flag
    if wanted.salt and wanted.salt != current.salt:
        raise flag_file.error(
            ("salt",), f"is immutable and stays {current.salt!r}: make a new flag"
        )
    values = {variant.key: variant.value for variant in current.variants}
    for variant in wanted.variants:
        if variant.key in values and variant.value != values[variant.key]:
            raise flag_file.error(
                ("variants", variant.key),
                "is immutable, and its value would change: give the new value a variant of its "
                "own, and move the split to it",
            )
