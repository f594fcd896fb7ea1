"""`tidegate explain`: every step of one assignment."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from rich.console import Group, RenderableType
from rich.text import Text

from tidegate.v1 import assignment_service_pb2
from tidegate_server.cli.connection import CALL_SECONDS, connect
from tidegate_server.cli.field_types import kind
from tidegate_server.cli.options import common
from tidegate_server.cli.render import new_console, new_table, print_text
from tidegate_server.cli.report import ReportOutput
from tidegate_server.errors import InvalidField


def explain(
    context: typer.Context,
    flag: Annotated[str, typer.Argument(metavar="FLAG", help="Key of the flag.")],
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="Id of the unit.")],
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--attributes",
            "-a",
            metavar="NAME=VALUE|JSON",
            help="What rules look at: team=eval, age=30, or an object as JSON. Repeatable.",
        ),
    ] = None,
    revision: Annotated[
        int, typer.Option(min=0, help="An earlier revision of the environment; default: now.")
    ] = 0,
    output: Annotated[ReportOutput, typer.Option(help="table or json.")] = ReportOutput.TABLE,
) -> None:
    """Tell which variant a unit is given, and every step that led to it."""
    request = assignment_service_pb2.ExplainRequest(flag_key=flag, unit_id=unit, revision=revision)
    request.attributes.update(parse_attributes(attributes or []))
    with connect(common(context).server) as stubs:
        answer = stubs.assignments.Explain(request, timeout=CALL_SECONDS)
    if output is ReportOutput.JSON:
        print_text(
            json_format.MessageToJson(answer, preserving_proto_field_name=True, ensure_ascii=False)
        )
    else:
        new_console().print(_show(flag, unit, answer))


def parse_attributes(texts: Sequence[str]) -> dict[str, Any]:
    """Read attributes: a JSON object, or NAME=VALUE, whose value is JSON or else plain text.

    Raises:
        InvalidField: one is neither.
    """
    attributes: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            attributes |= _object(text)
            continue
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidField(
                "attributes",
                f"{text!r} is neither NAME=VALUE (team=eval) nor a JSON object",
            )
        attributes[name] = _value(value)
    return attributes


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidField("attributes", f"{text!r} is not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise InvalidField("attributes", f"must be a JSON object, not {kind(found)}")
    return found


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


def _show(flag: str, unit: str, answer: assignment_service_pb2.ExplainResponse) -> RenderableType:
    given = answer.assignment
    reason = assignment_service_pb2.Reason.Name(given.reason).removeprefix("REASON_")
    variant = f"is given {given.variant}" if given.variant else "is given no variant"
    head = Text.assemble(
        f"{unit} ",
        (variant, "bold"),
        f" of {flag} at revision {given.revision}"
        + (f" (phase {given.phase})" if given.phase else "")
        + f": {reason}",
    )
    table = new_table("", "step", "name", "what was found")
    for step in answer.steps:
        style = "bold green" if step.decided else None
        cells = ["→" if step.decided else "", step.subject, step.name, step.detail]
        table.add_row(*(Text(cell) for cell in cells), style=style)
    return Group(head, table) if answer.steps else head
