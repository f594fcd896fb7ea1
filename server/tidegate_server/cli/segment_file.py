"""Segment files: read with every problem named by its place, and written so that they read back."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml.comments import CommentedMap

from tidegate.v1 import segment_pb2
from tidegate_server.cli.clause_messages import from_clause, to_clauses
from tidegate_server.cli.document_file import as_list, as_mapping, parse_document, read_text
from tidegate_server.cli.segment_document import SegmentDocument
from tidegate_server.cli.yaml_text import inline, quoted, write
from tidegate_server.cli.yaml_tree import Tree


def read_segment_file(file: FilePath) -> segment_pb2.Segment:
    """Read and check a file.

    Raises:
        DocumentError: names every problem at once.
        ConfigurationError: there is no such file, or it can't be read.
    """
    return parse_segment_file(str(file), read_text(file))


def parse_segment_file(name: str, text: str) -> segment_pb2.Segment:
    """Return the segment that the text of a file called `name` describes.

    Raises:
        DocumentError: names every problem at once.
    """
    document, _ = parse_document(name, text, SegmentDocument, _check)
    return segment_pb2.Segment(
        key=document.segment,
        description=document.description,
        included_unit_ids=sorted(set(document.include)),
        excluded_unit_ids=sorted(set(document.exclude)),
        rules=[segment_pb2.SegmentRule(clauses=to_clauses(rule.when)) for rule in document.rules],
    )


def format_segment_file(segment: segment_pb2.Segment) -> str:
    """Write the file from which `parse_segment_file` reads this segment."""
    plain = quoted(to_plain(segment))
    styled = CommentedMap(plain)
    if "rules" in plain:
        styled["rules"] = [{"when": list(map(inline, rule["when"]))} for rule in plain["rules"]]
    return write(styled)


def to_plain(segment: segment_pb2.Segment) -> dict[str, Any]:
    """Return what a file that describes this segment says; defaults are left out."""
    plain: dict[str, Any] = {
        "segment": segment.key,
        "description": segment.description,
        "include": list(segment.included_unit_ids),
        "exclude": list(segment.excluded_unit_ids),
        "rules": [{"when": list(map(from_clause, rule.clauses))} for rule in segment.rules],
    }
    return {key: value for key, value in plain.items() if value}


def _check(tree: Tree, data: Mapping[str, Any]) -> None:
    for index, rule in enumerate(as_list(data.get("rules"))):
        for number, item in enumerate(as_list(as_mapping(rule).get("when"))):
            for key in ("segment", "not_segment"):
                if key in as_mapping(item):
                    tree.report(
                        ("rules", index, "when", number, key),
                        "segments do not nest: write the other segment's conditions here",
                        key=True,
                    )
