"""`tidegate flag …`: administration of flags."""

from collections.abc import Sequence
from typing import Annotated

import typer
from google.protobuf import json_format

from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, PAGE_SIZE, all_pages, connect
from tidegate_server.cli.flag_apply import apply
from tidegate_server.cli.flag_calls import get_flag
from tidegate_server.cli.flag_file import format_flag_file
from tidegate_server.cli.kill_switch import kill, revive
from tidegate_server.cli.options import FlagKeyArgument, Output, YesOption, common, confirm
from tidegate_server.cli.render import (
    new_console,
    print_text,
    show_flag,
    show_flags,
    show_moves,
    show_split,
)
from tidegate_server.cli.shares import parse_share, sum_problem
from tidegate_server.domain.checks import unknown
from tidegate_server.errors import InvalidField

flag_app = typer.Typer(help="Create, read and change flags.", no_args_is_help=True)
flag_app.command()(apply)
flag_app.command()(kill)
flag_app.command()(revive)


@flag_app.command("get")
def show(
    context: typer.Context,
    key: FlagKeyArgument,
    output: Annotated[
        Output, typer.Option(help="yaml is a file that `flag apply` reads.")
    ] = Output.TABLE,
) -> None:
    """Show one flag."""
    with connect(common(context).server) as stubs:
        flag = get_flag(stubs, key)
    if output is Output.YAML:
        print_text(format_flag_file(flag))
    elif output is Output.JSON:
        print_text(
            json_format.MessageToJson(flag, preserving_proto_field_name=True, ensure_ascii=False)
        )
    else:
        new_console().print(show_flag(flag))


@flag_app.command("list")
def list_flags(context: typer.Context) -> None:
    """List all flags."""
    with connect(common(context).server) as stubs:

        def ask(token: str) -> flag_service_pb2.ListFlagsResponse:
            request = flag_service_pb2.ListFlagsRequest(page_size=PAGE_SIZE, page_token=token)
            return stubs.flags.ListFlags(request, timeout=CALL_SECONDS)

        flags = [each for page in all_pages(ask) for each in page.flags]
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
        flag = get_flag(stubs, key)
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
    yes: YesOption = False,
) -> None:
    """Delete a flag: applications then get their own defaults."""
    with connect(common(context).server) as stubs:
        flag = get_flag(stubs, key)
        if not yes:
            confirm(f"flag delete {key}", f"Delete flag {key} ({show_split(flag.split)})?")
        request = flag_service_pb2.DeleteFlagRequest(key=key, revision=flag.revision)
        answer = stubs.flags.DeleteFlag(request, timeout=CALL_SECONDS)
    print_text(f"deleted flag {key} at revision {answer.revision}")


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
