"""`tidegate report`: what the live aggregates say about a flag's variants."""

import time
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from tidegate.v1 import report_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, ServerUnreachable, connect
from tidegate_server.cli.options import FlagKeyArgument, common
from tidegate_server.cli.render import new_console, print_text
from tidegate_server.cli.report_tables import show_report

_WATCH_SECONDS = 1.0


class ReportOutput(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"


def report(
    context: typer.Context,
    key: FlagKeyArgument,
    control: Annotated[
        str, typer.Option(help="Variant the others are compared with; default: the flag's.")
    ] = "",
    phase: Annotated[
        int | None, typer.Option(min=1, help="Only this phase; default: all, combined.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every second, until Ctrl-C.")
    ] = False,
    output: Annotated[ReportOutput, typer.Option(help="table or json.")] = ReportOutput.TABLE,
) -> None:
    """Compare the variants of a flag."""
    server = common(context).server
    request = report_service_pb2.GetReportRequest(flag_key=key, control=control, phase=phase or 0)
    if watch and output is ReportOutput.JSON:
        raise typer.BadParameter("cannot be shown live; leave --watch or --output json out")
    if watch:
        _watch(server, request)
    elif output is ReportOutput.JSON:
        message = _fetch(server, request)
        print_text(
            json_format.MessageToJson(
                message,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
                ensure_ascii=False,
            )
        )
    else:
        new_console().print(show_report(_fetch(server, request)))


def _fetch(server: str, request: report_service_pb2.GetReportRequest) -> report_service_pb2.Report:
    with connect(server) as stubs:
        return stubs.reports.GetReport(request, timeout=CALL_SECONDS).report


def _watch(server: str, request: report_service_pb2.GetReportRequest) -> None:
    """Show the report live; a server that is away for a while does not end it."""
    shown: RenderableType = show_report(_fetch(server, request))
    with Live(shown, console=new_console(), auto_refresh=False) as live:
        while True:
            time.sleep(_WATCH_SECONDS)
            try:
                shown = show_report(_fetch(server, request))
                live.update(shown, refresh=True)
            except ServerUnreachable as error:
                live.update(
                    Group(shown, Text(f"{error}; trying again", style="yellow")), refresh=True
                )
