"""`tidegate segment …`: administration of segments."""

from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.protobuf import json_format

from tidegate.v1 import segment_pb2, segment_service_pb2
from tidegate_server.cli import flag_diff
from tidegate_server.cli.connection import (
    CALL_SECONDS,
    PAGE_SIZE,
    CallRefused,
    Stubs,
    all_pages,
    connect,
    status_of,
)
from tidegate_server.cli.options import Output, YesOption, common, confirm
from tidegate_server.cli.render import new_console, print_text
from tidegate_server.cli.segment_file import format_segment_file, read_segment_file, to_plain
from tidegate_server.cli.segment_tables import show_segment, show_segments
from tidegate_server.errors import ConfigurationError

segment_app = typer.Typer(help="Create, read and change segments.", no_args_is_help=True)

SegmentKeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Key of the segment.")]


@segment_app.command()
def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The segment file.")],
) -> None:
    """Create the segment that a file describes, or change it to what the file says."""
    segment = read_segment_file(file)
    try:
        with connect(common(context).server) as stubs:
            current = _find(stubs, segment.key)
            if current is None:
                print_text(_create(stubs, segment))
            else:
                print_text(_update(stubs, segment, current))
    except CallRefused as error:
        if error.code is grpc.StatusCode.INVALID_ARGUMENT:
            raise ConfigurationError(f"{file}: {error}") from error
        raise


@segment_app.command()
def get(
    context: typer.Context,
    key: SegmentKeyArgument,
    output: Annotated[
        Output, typer.Option(help="yaml is a file that `segment apply` reads.")
    ] = Output.TABLE,
) -> None:
    """Show one segment."""
    with connect(common(context).server) as stubs:
        segment = _get(stubs, key)
    if output is Output.YAML:
        print_text(format_segment_file(segment))
    elif output is Output.JSON:
        print_text(
            json_format.MessageToJson(segment, preserving_proto_field_name=True, ensure_ascii=False)
        )
    else:
        new_console().print(show_segment(segment))


@segment_app.command("list")
def list_segments(context: typer.Context) -> None:
    """List all segments."""
    with connect(common(context).server) as stubs:

        def ask(token: str) -> segment_service_pb2.ListSegmentsResponse:
            request = segment_service_pb2.ListSegmentsRequest(page_size=PAGE_SIZE, page_token=token)
            return stubs.segments.ListSegments(request, timeout=CALL_SECONDS)

        segments = [each for page in all_pages(ask) for each in page.segments]
    if segments:
        new_console().print(show_segments(segments))
    else:
        print_text("there are no segments yet: create one with `tidegate segment apply FILE.yaml`")


@segment_app.command()
def delete(context: typer.Context, key: SegmentKeyArgument, yes: YesOption = False) -> None:
    """Delete a segment that no flag names."""
    with connect(common(context).server) as stubs:
        segment = _get(stubs, key)
        if not yes:
            confirm(f"segment delete {key}", f"Delete segment {key}?")
        request = segment_service_pb2.DeleteSegmentRequest(key=key, revision=segment.revision)
        answer = stubs.segments.DeleteSegment(request, timeout=CALL_SECONDS)
    print_text(f"deleted segment {key} at revision {answer.revision}")


def _get(stubs: Stubs, key: str) -> segment_pb2.Segment:
    request = segment_service_pb2.GetSegmentRequest(key=key)
    return stubs.segments.GetSegment(request, timeout=CALL_SECONDS).segment


def _find(stubs: Stubs, key: str) -> segment_pb2.Segment | None:
    try:
        return _get(stubs, key)
    except grpc.RpcError as error:
        if status_of(error)[0] is grpc.StatusCode.NOT_FOUND:
            return None
        raise


def _create(stubs: Stubs, segment: segment_pb2.Segment) -> str:
    request = segment_service_pb2.CreateSegmentRequest(segment=segment)
    stored = stubs.segments.CreateSegment(request, timeout=CALL_SECONDS).segment
    return f"created segment {stored.key} at revision {stored.revision}"


def _update(stubs: Stubs, wanted: segment_pb2.Segment, current: segment_pb2.Segment) -> str:
    lines = list(flag_diff.differences("", to_plain(current), to_plain(wanted)))
    if not lines:
        return f"segment {wanted.key} is unchanged at revision {current.revision}"
    draft = segment_pb2.Segment()
    draft.CopyFrom(wanted)
    draft.revision = current.revision
    request = segment_service_pb2.UpdateSegmentRequest(segment=draft)
    stored = stubs.segments.UpdateSegment(request, timeout=CALL_SECONDS).segment
    head = f"changed segment {stored.key} at revision {stored.revision}:"
    return "\n".join([head, *(f"  {line}" for line in lines)])
