"""Flag files: read with every problem named by its place, and written so that they read back."""

import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from tidegate.v1 import flag_pb2
from tidegate_server.cli.field_types import kind
from tidegate_server.cli.flag_document import (
    ClauseDocument,
    Document,
    FlagDocument,
    MetricDocument,
    RuleDocument,
)
from tidegate_server.cli.flag_messages import to_message, to_plain
from tidegate_server.cli.shares import parse_share, sum_problem
from tidegate_server.cli.yaml_tree import Path, Position, Problem, Tree, parse
from tidegate_server.domain.flags import unknown
from tidegate_server.errors import ConfigurationError


_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./%+@-]*(?:[: ][A-Za-z0-9_./%+@-]+)*")
"""Text that needs no quotes, unless it reads as a number or the like."""


class FlagFileError(ConfigurationError):
    """A flag file is wrong: one line for each problem, as file:line:column: field: problem."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(_line(file, problem) for problem in self.problems))


class FlagFile:
    """A flag file that was read: the flag, and where each of its fields stands."""

    def __init__(self, name: str, flag: flag_pb2.Flag, tree: Tree) -> None:
        self.name = name
        self.flag = flag
        self._tree = tree

    def error(self, path: Path, message: str) -> FlagFileError:
        """Return the error of a field that turned out wrong after the file was read."""
        self._tree.report(path, message)
        return FlagFileError(self.name, self._tree.problems)


def read_flag_file(file: FilePath) -> FlagFile:
    """Read and check a file.

    Raises:
        FlagFileError: names every problem at once.
        ConfigurationError: there is no such file, or it can't be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{file}: cannot be read ({error.strerror}): give the path of a flag file"
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        problem = Problem(Position(line, column), "", "is not UTF-8 text: save the file as UTF-8")
        raise FlagFileError(str(file), [problem]) from error
    return parse_flag_file(str(file), text)


def parse_flag_file(name: str, text: str) -> FlagFile:
    """Check the text of a file called `name`.

    Raises:
        FlagFileError: names every problem at once.
    """
    tree = parse(text)
    document = _validate(tree) if isinstance(tree.data, dict) else None
    if isinstance(tree.data, dict):
        _check_names(tree, tree.data)
        _check_split(tree, tree.data)
    elif not tree.problems:
        tree.report((), f"must be a mapping that begins with `flag:`, not {kind(tree.data)}")
    if tree.problems or document is None:
        raise FlagFileError(name, tree.problems)
    return FlagFile(name, to_message(document), tree)


def format_flag_file(flag: flag_pb2.Flag) -> str:
    """Write the file from which `parse_flag_file` reads this flag."""
    yaml = YAML()
    yaml.width = 1_000_000  # one line for each value: folded text is hard to compare
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(_styled(_quoted(to_plain(flag))), out)
    return out.getvalue()


def _line(file: str, problem: Problem) -> str:
    field = f"{problem.path}: " if problem.path else ""
    place = problem.position
    return f"{file}:{place.line}:{place.column}: {field}{problem.message}"


def _validate(tree: Tree) -> FlagDocument | None:
    try:
        return FlagDocument.model_validate(tree.data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _report(tree, detail)
        return None


def _report(tree: Tree, detail: ErrorDetails) -> None:
    path = detail["loc"]
    if detail["type"] == "extra_forbidden":
        tree.report(path, f"the field {unknown(str(path[-1]), _known_fields(path))}", key=True)
    elif path and path[-1] == "[key]":
        tree.report(path[:-1], _message(detail), key=True)
    else:
        tree.report(path, _message(detail))


def _message(detail: ErrorDetails) -> str:
    """Say in plain words what pydantic found."""
    context = detail.get("ctx", {})
    wrong = kind(detail["input"])
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "missing":
            return "is missing: add it"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"must be a mapping (lines of key: value), not {wrong}"
        case "list_type":
            return f"must be a list (lines that begin with -), not {wrong}"
        case "literal_error":
            return f"must be {context['expected']}, not {wrong}"
        case "too_short":
            return f"is empty: give at least {context['min_length']}"
        case "too_long":
            return f"has too many entries: give at most {context['max_length']:,}"
    return detail["msg"]


def _known_fields(path: Path) -> list[str]:
    """Return the fields of the mapping that the last step of `path` is in."""
    documents: dict[tuple[str | int, int], type[Document]] = {
        ("rules", 3): RuleDocument,
        ("rules", 5): ClauseDocument,
        ("metrics", 3): MetricDocument,
    }
    document = documents.get((path[0], len(path)), FlagDocument)
    return [field.alias or name for name, field in document.model_fields.items()]


def _check_names(tree: Tree, data: Mapping[str, Any]) -> None:
    """Check that every variant that is named is declared, and that rules have distinct names."""
    variants = data.get("variants")
    if isinstance(variants, dict) and variants:
        for path, name, is_key in _named_variants(data):
            if isinstance(name, str) and name not in variants:
                tree.report(path, f"variant {unknown(name, variants)}", key=is_key)
    seen: set[str] = set()
    for index, rule in enumerate(_list(data.get("rules"))):
        name = rule.get("name") if isinstance(rule, dict) else None
        if isinstance(name, str) and name in seen:
            tree.report(("rules", index, "name"), f"{name!r} occurs twice: name each rule once")
        elif isinstance(name, str):
            seen.add(name)


def _named_variants(data: Mapping[str, Any]) -> Iterator[tuple[Path, Any, bool]]:
    """Yield where a variant is named, its name, and whether the name is a key there."""
    yield ("default",), data.get("default"), False
    for name in _mapping(data.get("split")):
        yield ("split", name), name, True
    for index, rule in enumerate(_list(data.get("rules"))):
        yield ("rules", index, "serve"), _mapping(rule).get("serve"), False
    for unit_id, name in _mapping(data.get("overrides")).items():
        yield ("overrides", unit_id), name, False


def _check_split(tree: Tree, data: Mapping[str, Any]) -> None:
    """Check that shares that can be read add up; without a split there must be one variant."""
    variants = _mapping(data.get("variants"))
    if data.get("split") is None:
        if len(variants) > 1 and not any(problem.path == "split" for problem in tree.problems):
            example = ", ".join(f"{name}: …%" for name in variants)
            tree.report(("split",), f"is missing: add split: {{{example}}}, 100% in all")
        return
    try:
        shares = {name: parse_share(str(share)) for name, share in _mapping(data["split"]).items()}
    except ValueError:
        return  # reported by the field itself
    problem = sum_problem(shares)
    if problem is not None:
        tree.report(("split",), problem)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _styled(plain: Mapping[str, Any]) -> CommentedMap:
    """Lay the file out as people write it: one line for each variant, clause and metric."""
    styled = CommentedMap(plain)
    for section in ("variants", "metrics"):
        if section in plain:
            styled[section] = CommentedMap(
                {key: _inline(value) for key, value in plain[section].items()}
            )
    if "split" in plain:
        styled["split"] = _inline(plain["split"])
    if "rules" in plain:
        styled["rules"] = [
            {**rule, "when": [_inline(clause) for clause in rule["when"]]}
            for rule in plain["rules"]
        ]
    return styled


def _quoted(value: Any) -> Any:
    """Return all but the plainest text as double-quoted scalars, which can hold anything."""
    if isinstance(value, dict):
        return {_quoted(key): _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(_quoted, value))
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        return DoubleQuotedScalarString(value)
    return value


def _inline(value: Any) -> Any:
    """Return mappings and lists, inner ones too, so that they are written on one line."""
    if isinstance(value, dict):
        inline: Any = CommentedMap({key: _inline(item) for key, item in value.items()})
    elif isinstance(value, list):
        inline = CommentedSeq(map(_inline, value))
    else:
        return value
    inline.fa.set_flow_style()
    return inline
