"""How segments are shown."""

import json
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidegate.v1 import segment_pb2
from tidegate_server.cli.render import new_table
from tidegate_server.cli.segment_file import to_plain

_MOST_UNITS = 20
"""How many units are shown; the rest are counted."""


def show_segment(segment: segment_pb2.Segment) -> RenderableType:
    """Lay out one segment for people."""
    head = Table.grid(padding=(0, 2))
    head.add_row("segment", Text(segment.key, style="bold"))
    if segment.description:
        head.add_row("description", Text(segment.description))
    head.add_row("revision", str(segment.revision))
    head.add_row("excluded", Text(_units(segment.excluded_unit_ids)))
    head.add_row("included", Text(_units(segment.included_unit_ids)))
    rules = to_plain(segment).get("rules", [])
    if not rules:
        return head
    table = new_table("or when")
    for rule in rules:
        table.add_row(
            Text(" and ".join(json.dumps(each, ensure_ascii=False) for each in rule["when"]))
        )
    return Group(head, table)


def show_segments(segments: Sequence[segment_pb2.Segment]) -> RenderableType:
    """Lay out a list of segments."""
    numbers = ["included", "excluded", "rules", "revision"]
    table = new_table("segment", *numbers, numbers=numbers)
    for segment in segments:
        table.add_row(
            Text(segment.key),
            f"{len(segment.included_unit_ids):,}",
            f"{len(segment.excluded_unit_ids):,}",
            str(len(segment.rules)),
            str(segment.revision),
        )
    return table


def _units(unit_ids: Sequence[str]) -> str:
    if not unit_ids:
        return "nobody by name"
    shown = ", ".join(unit_ids[:_MOST_UNITS])
    rest = len(unit_ids) - _MOST_UNITS
    return f"{shown} and {rest:,} more" if rest > 0 else shown
