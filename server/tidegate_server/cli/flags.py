"""`tidegate flag …`: administration of flags."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.protobuf import json_format

from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.cli import flag_diff
from tidegate_server.cli.connection import (
    CALL_SECONDS,
    CallRefused,
    Stubs,
    connect,
    status_of,
)
from tidegate_server.cli.flag_file import FlagFile, format_flag_file, read_flag_file
from tidegate_server.cli.options import FlagKeyArgument, common
from tidegate_server.cli.render import (
    new_console,
    print_text,
    show_flag,
    show_flags,
    show_moves,
    show_split,
)
from tidegate_server.cli.shares import parse_share, sum_problem
from tidegate_server.domain.flags import unknown
from tidegate_server.errors import ConfigurationError, InvalidField

flag_app = typer.Typer(help="Create, read and change flags.", no_args_is_help=True)

_PAGE = 1_000


class FlagOutput(StrEnum):
    """How a flag is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@flag_app.command()
def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The flag file.")],
) -> None:
    """Create the flag that a file describes, or change it to what the file says."""
    flag_file = read_flag_file(file)
    try:
        with connect(common(context).server) as stubs:
            current = _find(stubs, flag_file.flag.key)
            report = _create(stubs, flag_file) if current is None else ""
            print_text(report or _update(stubs, flag_file, current or flag_pb2.Flag()))
    except CallRefused as error:
        if error.code is grpc.StatusCode.INVALID_ARGUMENT:
            raise ConfigurationError(f"{file}: {error}") from error
        raise


@flag_app.command("get")
def get_flag(
    context: typer.Context,
    key: FlagKeyArgument,
    output: Annotated[
        FlagOutput, typer.Option(help="yaml is a file that `flag apply` reads.")
    ] = FlagOutput.TABLE,
) -> None:
    """Show one flag."""
    with connect(common(context).server) as stubs:
        flag = _get(stubs, key)
    if output is FlagOutput.YAML:
        print_text(format_flag_file(flag))
    elif output is FlagOutput.JSON:
        print_text(
            json_format.MessageToJson(flag, preserving_proto_field_name=True, ensure_ascii=False)
        )
    else:
        new_console().print(show_flag(flag))


@flag_app.command("list")
def list_flags(context: typer.Context) -> None:
    """List all flags."""
    flags: list[flag_pb2.Flag] = []
    token = ""
    with connect(common(context).server) as stubs:
        while True:
            request = flag_service_pb2.ListFlagsRequest(page_size=_PAGE, page_token=token)
            page = stubs.flags.ListFlags(request, timeout=CALL_SECONDS)
            flags += page.flags
            token = page.next_page_token
            if not token:
                break
    if flags:
        new_console().print(show_flags(flags))
    else:
        print_text("there are no flags yet: create one with `tidegate flag apply FILE.yaml`")


@flag_app.command()
def split(
    context: typer.Context,
    key: FlagKeyArgument,
    shares: Annotated[
        list[str],
        typer.Argument(
            metavar="VARIANT=SHARE…", help="Shares in percent: v1=75 v2=25, or v1=87.5% v2=12.5%."
        ),
    ],
    preview: Annotated[
        bool, typer.Option("--preview", help="Only tell which units would change variant.")
    ] = False,
) -> None:
    """Change the share of units that each variant gets; variants not named get nothing."""
    wanted = _parse_shares(shares)
    with connect(common(context).server) as stubs:
        flag = _get(stubs, key)
        message = _checked_split(flag, wanted)
        if preview:
            request = flag_service_pb2.PreviewSplitRequest(key=key, split=message)
            answer = stubs.flags.PreviewSplit(request, timeout=CALL_SECONDS)
            print_text(f"{key}: {show_split(flag.split)} → {show_split(message)} (not applied)")
            print_text(show_moves(answer.moves, verb="would move"))
        else:
            change = flag_service_pb2.UpdateSplitRequest(
                key=key, split=message, revision=flag.revision
            )
            result = stubs.flags.UpdateSplit(change, timeout=CALL_SECONDS)
            print_text(
                f"{key}: {show_split(flag.split)} → {show_split(result.flag.split)} "
                f"at revision {result.flag.revision}"
            )
            print_text(show_moves(result.moves, verb="move"))


@flag_app.command()
def delete(
    context: typer.Context,
    key: FlagKeyArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a flag: applications then get their own defaults."""
    with connect(common(context).server) as stubs:
        flag = _get(stubs, key)
        if not yes:
            _confirm(flag)
        request = flag_service_pb2.DeleteFlagRequest(key=key, revision=flag.revision)
        answer = stubs.flags.DeleteFlag(request, timeout=CALL_SECONDS)
    print_text(f"deleted flag {key} at revision {answer.revision}")


def _confirm(flag: flag_pb2.Flag) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"flag delete {flag.key}: there is no terminal to ask at; add --yes"
        )
    question = f"Delete flag {flag.key} ({show_split(flag.split)})?"
    if not typer.confirm(question):
        raise typer.Exit(1)


def _get(stubs: Stubs, key: str) -> flag_pb2.Flag:
    request = flag_service_pb2.GetFlagRequest(key=key)
    return stubs.flags.GetFlag(request, timeout=CALL_SECONDS).flag


def _find(stubs: Stubs, key: str) -> flag_pb2.Flag | None:
    try:
        return _get(stubs, key)
    except grpc.RpcError as error:
        if status_of(error)[0] is grpc.StatusCode.NOT_FOUND:
            return None
        raise


def _create(stubs: Stubs, flag_file: FlagFile) -> str:
    request = flag_service_pb2.CreateFlagRequest(flag=flag_file.flag)
    flag = stubs.flags.CreateFlag(request, timeout=CALL_SECONDS).flag
    return f"created flag {flag.key} at revision {flag.revision}: {show_split(flag.split)}"


def _update(stubs: Stubs, flag_file: FlagFile, current: flag_pb2.Flag) -> str:
    _check_immutable(flag_file, current)
    wanted = flag_file.flag
    lines = flag_diff.changes(current, wanted)
    if not lines:
        return f"flag {wanted.key} is unchanged at revision {current.revision}"
    draft = flag_pb2.Flag()
    draft.CopyFrom(wanted)
    draft.revision = current.revision
    request = flag_service_pb2.UpdateFlagRequest(flag=draft)
    flag = stubs.flags.UpdateFlag(request, timeout=CALL_SECONDS).flag
    return "\n".join(
        [
            f"changed flag {flag.key} at revision {flag.revision}:",
            *(f"  {line}" for line in lines),
            show_moves(flag_diff.moves(current, flag), verb="move"),
        ]
    )


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


def _parse_shares(arguments: Sequence[str]) -> dict[str, int]:
    shares: dict[str, int] = {}
    for argument in arguments:
        variant, separator, text = argument.partition("=")
        if not separator or not variant:
            raise typer.BadParameter(
                f"{argument!r} is not VARIANT=SHARE, such as v1=75", param_hint="VARIANT=SHARE"
            )
        if variant in shares:
            raise InvalidField(f"split.{variant}", "occurs twice: name each variant once")
        try:
            shares[variant] = parse_share(text)
        except ValueError as error:
            raise InvalidField(f"split.{variant}", str(error)) from error
    return shares


def _checked_split(flag: flag_pb2.Flag, shares: dict[str, int]) -> list[flag_pb2.SplitShare]:
    known = [variant.key for variant in flag.variants]
    for variant in shares:
        if variant not in known:
            raise InvalidField(f"split.{variant}", f"variant {unknown(variant, known)}")
    problem = sum_problem(shares)
    if problem is not None:
        raise InvalidField("split", problem)
    return [flag_pb2.SplitShare(variant=key, share_ppm=ppm) for key, ppm in shares.items()]
