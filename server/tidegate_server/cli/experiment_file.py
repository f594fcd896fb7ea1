"""Experiment files: read with every problem named by its place."""

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from tidegate_server.cli.document_file import parse_document, read_text
from tidegate_server.cli.experiment_document import ExperimentDocument
from tidegate_server.cli.experiment_plan import to_plan
from tidegate_server.cli.yaml_tree import Path, Tree
from tidegate_server.domain.experiments.checks import problems
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.templates import TEMPLATES

_STEP = re.compile(r"[a-z_]+|[0-9]+")

_REQUIRED = ("experiment", "flag", "control", "treatment")
_STAND_INS: Mapping[str, Any] = MappingProxyType(
    {
        **{name: f"{name}-0" for name in _REQUIRED},
        "goal": {"metric": "rating"},
        "guardrails": [{"metric": "rating", "margin": 0.1}],
        "stages": [{"name": "stage", "share": "50%"}],
        "interval": "1s",
    }
)
"""What takes the place of sections that can't be read, so that the others are checked too."""


def read_experiment_file(file: FilePath) -> Plan:
    """Read and check a file.

    Raises:
        DocumentError: names every problem at once.
        ConfigurationError: there is no such file, or it can't be read.
    """
    return parse_experiment_file(str(file), read_text(file))


def parse_experiment_file(name: str, text: str) -> Plan:
    """Return the plan that the text of a file called `name` describes.

    Raises:
        DocumentError: names every problem at once.
    """
    document, _ = parse_document(name, text, ExperimentDocument, _check)
    return to_plan(document)


def _check(tree: Tree, data: Mapping[str, Any]) -> None:
    """Report what is wrong with the plan as a whole, as far as its sections could be read."""
    if data.get("stages") is None and "template" not in data:
        known = ", ".join(TEMPLATES)
        tree.report(("stages",), f"is missing: add stages, or a template ({known})")
    failed = {re.split(r"[.\[]", problem.path, maxsplit=1)[0] for problem in tree.problems}
    if "template" in failed and "stages" not in data:
        failed.add("stages")
    sound = {
        name: data[name]
        for name in ExperimentDocument.model_fields
        if name in data and name not in failed
    }
    missing = {name: value for name, value in _STAND_INS.items() if name in failed}
    for each in problems(to_plan(ExperimentDocument.model_validate(missing | sound))):
        path = _path(each.field)
        if path[0] not in failed:
            tree.report(path, each.problem)


def _path(field: str) -> Path:
    """Return where a field such as stages[0].share is."""
    return tuple(int(step) if step.isdigit() else step for step in _STEP.findall(field))
