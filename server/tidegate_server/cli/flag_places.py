"""Where in a flag file the server's fields are."""

import re
from collections.abc import Sequence

from tidegate_server.cli.clause_document import ClauseDocument, SegmentClauseDocument
from tidegate_server.cli.flag_document import FlagDocument
from tidegate_server.cli.yaml_tree import Path

_FIELD = re.compile(r"[a-z_]+(?:\[[0-9]+\])?(?:\.[a-z_]+(?:\[[0-9]+\])?)*")
_STEP = re.compile(r"[a-z_]+|[0-9]+")
_NAMES = {
    "key": "flag",
    "default_variant": "default",
    "enrolment_ppm": "enrolment",
    "unit_attribute": "unit",
    "ignores_holdout": "ignore_holdout",
}


def place(field: str, document: FlagDocument) -> Path | None:
    """Return where a field such as `rules[0].clauses[1]` is in the file; None for no field."""
    if not _FIELD.fullmatch(field):
        return None
    steps: Path = tuple(int(step) if step.isdigit() else step for step in _STEP.findall(field))
    match steps:
        case ("variants", int(index), *_):
            return "variants", list(document.variants)[index]
        case ("layer", "layer"):
            return "layer", "name"
        case ("layer", "share_ppm"):
            return "layer", "share"
        case ("prerequisites", int(index), "flag_key"):
            return "prerequisites", index, "flag"
        case ("prerequisites", int(index), "variants", *rest):
            return "prerequisites", index, "in", *rest
        case ("rules", int(index), "clauses", int(number), *rest):
            inner = _clause(document.rules[index].when, number, rest)
            return "rules", index, "when", *inner
    return _NAMES.get(str(steps[0]), steps[0]), *steps[1:]


def _clause(
    items: Sequence[ClauseDocument | SegmentClauseDocument],
    number: int,
    rest: Sequence[str | int],
) -> Path:
    """Return where a clause is: an item of `when` stands for one clause or for several."""
    passed = 0
    for index, item in enumerate(items):
        names = list(item.given)
        if number < passed + len(names):
            value = rest[1:] if rest[:1] == ["values"] else ()
            return index, names[number - passed], *value
        passed += len(names)
    return ()
