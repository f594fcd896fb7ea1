"""Flag files: read with every problem named by its place, and written so that they read back."""

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml.comments import CommentedMap

from tidegate.v1 import flag_pb2
from tidegate_server.cli.document_file import (
    DocumentError,
    as_list,
    as_mapping,
    parse_document,
    read_text,
)
from tidegate_server.cli.flag_document import FlagDocument
from tidegate_server.cli.flag_messages import to_message, to_plain
from tidegate_server.cli.flag_places import place
from tidegate_server.cli.shares import parse_share, sum_problem
from tidegate_server.cli.yaml_text import inline, quoted, write
from tidegate_server.cli.yaml_tree import Path, Tree, show
from tidegate_server.domain.checks import unknown
from tidegate_server.errors import ConfigurationError


class FlagFile:
    """A flag file that was read: the flag, and where each of its fields stands."""

    def __init__(self, name: str, document: FlagDocument, tree: Tree) -> None:
        self.name = name
        self.flag = to_message(document)
        self._document = document
        self._tree = tree

    def following(self, current: flag_pb2.Flag) -> flag_pb2.Flag:
        """Return what the flag shall be after `current`: a file that is silent revives no flag."""
        wanted = flag_pb2.Flag()
        wanted.CopyFrom(self.flag)
        wanted.revision = current.revision
        if self._document.killed is None:
            wanted.killed = current.killed
        return wanted

    def error(self, path: Path, message: str) -> DocumentError:
        """Return the error of a field that turned out wrong after the file was read."""
        self._tree.report(path, message)
        return DocumentError(self.name, self._tree.problems)

    def refused(self, message: str) -> ConfigurationError:
        """Return the error of what the server refused, at its place if the server named a field."""
        field, _, problem = message.partition(": ")
        path = place(field, self._document)
        if path is None or not problem:
            return ConfigurationError(f"{self.name}: {message}")
        return self.error(path, problem)


def read_flag_file(file: FilePath) -> FlagFile:
    """Read and check a file.

    Raises:
        DocumentError: names every problem at once.
        ConfigurationError: there is no such file, or it can't be read.
    """
    return parse_flag_file(str(file), read_text(file))


def parse_flag_file(name: str, text: str) -> FlagFile:
    """Check the text of a file called `name`.

    Raises:
        DocumentError: names every problem at once.
    """
    document, tree = parse_document(name, text, FlagDocument, _check)
    return FlagFile(name, document, tree)


def format_flag_file(flag: flag_pb2.Flag) -> str:
    """Write the file from which `parse_flag_file` reads this flag."""
    return write(_styled(quoted(to_plain(flag))))


def _check(tree: Tree, data: Mapping[str, Any]) -> None:
    variants = data.get("variants")
    if isinstance(variants, dict) and variants:
        for path, name, is_key in _named_variants(data):
            if isinstance(name, str) and name not in variants:
                tree.report(path, f"variant {unknown(name, variants)}", key=is_key)
    _check_rule_names(tree, data)
    if data.get("split") is None:
        _check_needs_no_split(tree, as_mapping(variants))
    else:
        _check_sum(tree, ("split",), data["split"])
    for index, rule in enumerate(as_list(data.get("rules"))):
        if "split" in as_mapping(rule):
            _check_sum(tree, ("rules", index, "split"), rule["split"])


def _check_rule_names(tree: Tree, data: Mapping[str, Any]) -> None:
    seen: set[str] = set()
    for index, rule in enumerate(as_list(data.get("rules"))):
        name = as_mapping(rule).get("name")
        if isinstance(name, str) and name in seen:
            tree.report(("rules", index, "name"), f"{name!r} occurs twice: name each rule once")
        elif isinstance(name, str):
            seen.add(name)


def _named_variants(data: Mapping[str, Any]) -> Iterator[tuple[Path, Any, bool]]:
    """Yield where a variant is named, its name, and whether the name is a key there."""
    yield ("default",), data.get("default"), False
    for name in as_mapping(data.get("split")):
        yield ("split", name), name, True
    for index, rule in enumerate(as_list(data.get("rules"))):
        yield ("rules", index, "serve"), as_mapping(rule).get("serve"), False
        for name in as_mapping(as_mapping(rule).get("split")):
            yield ("rules", index, "split", name), name, True
    for unit_id, name in as_mapping(data.get("overrides")).items():
        yield ("overrides", unit_id), name, False


def _check_needs_no_split(tree: Tree, variants: Mapping[str, Any]) -> None:
    if len(variants) > 1 and not any(problem.path == "split" for problem in tree.problems):
        example = ", ".join(f"{name}: …%" for name in variants)
        tree.report(("split",), f"is missing: add split: {{{example}}}, 100% in all")


def _check_sum(tree: Tree, path: Path, split: Any) -> None:
    """Check that shares add up where all of them can be read."""
    if any(problem.path.startswith(show(path)) for problem in tree.problems):
        return
    problem = sum_problem({name: parse_share(str(share)) for name, share in split.items()})
    if problem is not None:
        tree.report(path, problem)


def _styled(plain: Mapping[str, Any]) -> CommentedMap:
    """Lay the file out as people write it: one line for each variant, clause and metric."""
    styled = CommentedMap(plain)
    for section in ("variants", "metrics"):
        if section in plain:
            styled[section] = CommentedMap(
                {key: inline(value) for key, value in plain[section].items()}
            )
    for section in ("split", "layer"):
        if section in plain:
            styled[section] = inline(plain[section])
    if "prerequisites" in plain:
        styled["prerequisites"] = list(map(inline, plain["prerequisites"]))
    if "rules" in plain:
        styled["rules"] = list(map(_styled_rule, plain["rules"]))
    return styled


def _styled_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    styled = {**rule, "when": list(map(inline, rule["when"]))}
    if "split" in rule:
        styled["split"] = inline(rule["split"])
    return styled
