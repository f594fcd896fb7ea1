"""Where in an experiment file the fields of a plan are."""

import re
from collections.abc import Mapping
from typing import Any

from tidegate_server.cli.document_file import as_list, as_mapping
from tidegate_server.cli.yaml_tree import Path
from tidegate_server.domain.experiments.plan import Plan

_STEP = re.compile(r"[a-z_]+|[0-9]+")
_NAMES = {"start": "from", "end": "to"}


def place(field: str, plan: Plan, data: Mapping[str, Any]) -> Path:
    """Return where a field such as `stages[0].share` is in the file that says `data`."""
    steps: Path = tuple(int(step) if step.isdigit() else step for step in _STEP.findall(field))
    match steps:
        case ("stages", int(index), "share") if "ratio" in _item(data, "stages", index):
            return "stages", index, "ratio"
        case ("stages", int(index), ("before" | "after") as side, *rest):
            return "stages", index, side, *_hook(_item(data, "stages", index).get(side), rest)
        case ("preflight", "evaluation", "thresholds", *rest):
            return "preflight", "evaluation", "metrics", *_threshold(plan, rest)
        case ("change_windows", int(index), str(name), *rest):
            return "change_windows", index, _NAMES.get(name, name), *rest
        case ("notifications", int(index), "actions", *rest):
            return "notifications", index, "on", *rest
    return steps


def _item(data: Mapping[str, Any], section: str, index: int) -> Mapping[str, Any]:
    items = as_list(data.get(section))
    return as_mapping(items[index]) if index < len(items) else {}


def _hook(given: Any, rest: list[str | int]) -> Path:
    """Return where a field of a hook is: the hook may be its URL, and stand for all of them."""
    if isinstance(given, str):
        return ()
    match rest:
        case (int(index), "url") if isinstance(as_list(given)[index], str):
            return (index,)
    return tuple(rest)


def _threshold(plan: Plan, rest: list[str | int]) -> Path:
    evaluation = plan.preflight.evaluation if plan.preflight else None
    match rest:
        case (int(index), *last) if evaluation is not None:
            name = evaluation.thresholds[index].metric
            return (name,) if last in ([], ["metric"]) else (name, *last)
    return ()
