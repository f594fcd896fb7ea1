"""Plain data as YAML text that reads back as the same data."""

import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./%+@-]*(?:[: ][A-Za-z0-9_./%+@-]+)*")
"""Text that needs no quotes, unless it reads as a number or the like."""


def write(data: Mapping[str, Any]) -> str:
    """Write a mapping; what `inline` returned goes on one line."""
    yaml = YAML()
    yaml.width = 1_000_000  # one line for each value: folded text is hard to compare
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def quoted(value: Any) -> Any:
    """Return all but the plainest text as double-quoted scalars, which can hold anything."""
    if isinstance(value, dict):
        return {quoted(key): quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(quoted, value))
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        return DoubleQuotedScalarString(value)
    return value


def inline(value: Any) -> Any:
    """Return mappings and lists, inner ones too, so that they are written on one line."""
    if isinstance(value, dict):
        line: Any = CommentedMap({key: inline(item) for key, item in value.items()})
    elif isinstance(value, list):
        line = CommentedSeq(map(inline, value))
    else:
        return value
    line.fa.set_flow_style()
    return line
