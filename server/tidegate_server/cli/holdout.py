"""`tidegate holdout`: the share of units kept out of all flags."""

from typing import Annotated

import typer

from tidegate.v1 import segment_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, connect
from tidegate_server.cli.options import common
from tidegate_server.cli.render import print_text
from tidegate_server.cli.shares import parse_share
from tidegate_server.domain.checks import percent
from tidegate_server.errors import InvalidField


def holdout(
    context: typer.Context,
    share: Annotated[
        str | None, typer.Argument(metavar="[SHARE]", help="New share in percent: 5, or 2.5%.")
    ] = None,
) -> None:
    """Show the global holdout, or set its share of units: they are given default variants."""
    wanted = None if share is None else _parse(share)
    with connect(common(context).server) as stubs:
        request = segment_service_pb2.GetHoldoutRequest()
        present = stubs.segments.GetHoldout(request, timeout=CALL_SECONDS).share_ppm
        if wanted is None:
            print_text(f"{percent(present)} of the units are held out of all flags")
            return
        if wanted == present:
            print_text(f"holdout: {percent(present)} already")
            return
        change = segment_service_pb2.UpdateHoldoutRequest(share_ppm=wanted)
        answer = stubs.segments.UpdateHoldout(change, timeout=CALL_SECONDS)
    print_text(
        f"holdout: {percent(present)} → {percent(answer.share_ppm)} at revision {answer.revision}"
    )


def _parse(share: str) -> int:
    try:
        return parse_share(share)
    except ValueError as error:
        raise InvalidField("holdout", str(error)) from error
