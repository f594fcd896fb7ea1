"""Experiment files: read with every problem named by its place."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from tidegate_server.cli.document_file import DocumentError, parse_document, read_text
from tidegate_server.cli.experiment_document import ExperimentDocument
from tidegate_server.cli.experiment_places import place
from tidegate_server.cli.experiment_plan import to_plan
from tidegate_server.cli.yaml_tree import Tree
from tidegate_server.domain.experiments.checks import problems
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.templates import TEMPLATES
from tidegate_server.errors import InvalidField

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


class ExperimentFile:
    """A file that was read: the plan, and where each of its fields stands."""

    def __init__(self, name: str, plan: Plan, tree: Tree) -> None:
        self.name, self.plan = name, plan
        self._tree = tree

    def refused(self, problems: Iterable[InvalidField]) -> DocumentError:
        """Return the error of fields that turned out wrong after the file was read."""
        for each in problems:
            self._tree.report(place(each.field, self.plan, self._tree.data), each.problem)
        return DocumentError(self.name, self._tree.problems)


def read_experiment_file(file: FilePath) -> ExperimentFile:
    """Read and check a file.

    Raises:
        DocumentError: names every problem at once.
        ConfigurationError: there is no such file, or it can't be read.
    """
    return parse_experiment_file(str(file), read_text(file))


def parse_experiment_file(name: str, text: str) -> ExperimentFile:
    """Check the text of a file called `name`.

    Raises:
        DocumentError: names every problem at once.
    """
    document, tree = parse_document(name, text, ExperimentDocument, _check)
    return ExperimentFile(name, to_plan(document), tree)


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
    plan = to_plan(ExperimentDocument.model_validate(missing | sound))
    for each in problems(plan):
        path = place(each.field, plan, data)
        if path[0] not in failed:
            tree.report(path, each.problem)
