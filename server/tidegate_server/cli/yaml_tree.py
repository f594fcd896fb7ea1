"""YAML 1.2 text as plain data that remembers where everything was written."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.nodes import CollectionNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead from the top of the document to a value."""

LARGEST_INTEGER = 1 << 53
"""Integers up to this are exact as JSON numbers (IEEE 754 doubles)."""

_MOST_NODES = 100_000
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text: line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong at a place; `path` names the field, and is empty for the whole document."""

    position: Position
    path: str
    message: str


@dataclass(slots=True)
class Tree:
    """A document: strings, numbers, booleans, None, lists and dicts with string keys.

    values, keys: where the value and the key of each path begin.
    problems: what could not be read; such a value is None in `data`.
    """

    data: Any = None
    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def report(self, path: Path, message: str, *, key: bool = False) -> None:
        """Add a problem of the value (or the key) at `path`, or at the nearest place above it.

        Only the first problem of a field counts: the others mostly follow from it.
        """
        if path and any(problem.path == show(path) for problem in self.problems):
            return
        places = self.keys if key else self.values
        for length in range(len(path), -1, -1):
            position = places.get(path[:length]) or self.values.get(path[:length])
            if position is not None:
                self.problems.append(Problem(position, show(path), message))
                return
        self.problems.append(Problem(Position(1, 1), show(path), message))


def show(path: Path) -> str:
    """Write a path as people do: rules[0].when[1].in."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def parse(text: str) -> Tree:
    """Read one YAML document. Never raises: what is wrong is in the tree's problems."""
    tree = Tree()
    try:
        with warnings.catch_warnings(action="ignore"):  # an anchor used twice is no error
            root = YAML(typ="safe", pure=True).compose(text)
        if root is None:
            tree.report((), "is empty: describe one flag, segment or experiment")
        else:
            _Builder(tree).build(root)
    except YAMLError as error:
        tree.problems.append(_syntax_problem(text, error))
    except RecursionError:
        tree.report((), "is nested too deeply: flatten it")
    return tree


class _Builder:
    """Turns nodes into data; aliases are followed, within limits."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._nodes = 0
        self._open: list[CollectionNode] = []

    def build(self, root: Node) -> None:
        self._tree.data = self._value(root, ())

    def _value(self, node: Node, path: Path) -> Any:
        self._tree.values[path] = _position(node)
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            if self._nodes == _MOST_NODES + 1:
                self._tree.report(path, f"the file has more than {_MOST_NODES:,} values")
            return None
        if any(node is outer for outer in self._open):
            self._tree.report(path, "is an alias of something it is a part of: write it out")
            return None
        if not isinstance(node, CollectionNode):
            return self._scalar(node, path)
        self._open.append(node)
        try:
            return self._collection(node, path)
        finally:
            self._open.pop()

    def _collection(self, node: CollectionNode, path: Path) -> Any:
        if isinstance(node, SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        result: dict[str, Any] = {}
        for key, key_position, value in self._entries(node, path):
            inner = (*path, key)
            if key in result:
                first = self._tree.keys[inner]
                self._tree.problems.append(
                    Problem(
                        key_position,
                        show(inner),
                        f"occurs twice, first in line {first.line}: keep one",
                    )
                )
                continue
            self._tree.keys[inner] = key_position
            result[key] = self._value(value, inner)
            if value.value == "" and value.start_mark.line + 1 > key_position.line:
                self._tree.values[inner] = key_position  # nothing was written: blame the key
        return result

    def _entries(self, node: CollectionNode, path: Path) -> Iterator[tuple[str, Position, Node]]:
        """Yield keys as they are written (1, true and no are text here) and their values."""
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._tree.problems.append(
                    Problem(_position(key), show(path), "has a key that is not text: name the key")
                )
            elif key.tag == f"{_TAG}merge":
                self._tree.problems.append(
                    Problem(
                        _position(key),
                        show(path),
                        "merge keys (<<) are not supported: write it out",
                    )
                )
            else:
                yield key.value, _position(key), value

    def _scalar(self, node: Node, path: Path) -> Any:
        tag = str(node.tag).removeprefix(_TAG)
        text = str(node.value)
        if tag == "null":
            return None
        if tag == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if tag in ("int", "float"):
            return self._number(tag, text, path)
        if tag in ("str", "timestamp"):  # YAML 1.2 has no timestamps
            return text
        self._tree.report(path, f"{text!r} with the tag {tag} is not supported: use plain YAML 1.2")
        return None

    def _number(self, tag: str, text: str, path: Path) -> int | float | None:
        plain = text.replace("_", "")
        try:
            number = _integer(plain) if tag == "int" else _float(plain)
        except ValueError:
            self._tree.report(path, f"{text!r} is not a number; put text in quotes")
            return None
        if isinstance(number, int) and abs(number) > LARGEST_INTEGER:
            self._tree.report(
                path, f"{text} is larger than 2^53 and would lose digits: put it in quotes"
            )
            return None
        if not math.isfinite(number):
            self._tree.report(path, f"{text} is not a finite number: use one, or put it in quotes")
            return None
        return number


def _integer(text: str) -> int:
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
        return sign * int(digits, 10)  # YAML 1.2: 010 is ten
    return sign * int(digits, 0)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _position(node: Node) -> Position:
    mark = node.start_mark
    return Position(mark.line + 1, mark.column + 1)


_HINTS = {
    "mapping values are not allowed here": "put text that has a colon in quotes",
    "found character '\\t' that cannot start any token": "indent by spaces, not tabs",
    "found undefined alias": "define it above with &name",
    "but found another document": "one file describes one flag, segment or experiment",
}


def _syntax_problem(text: str, error: YAMLError) -> Problem:
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        return Problem(
            Position(line, column),
            "",
            f"the character U+{error.character:04X} is not allowed in YAML: "
            "write it as an escape in double quotes",
        )
    if not isinstance(error, MarkedYAMLError):
        return Problem(Position(1, 1), "", f"is not valid YAML: {error}")
    mark = error.problem_mark or error.context_mark
    position = Position(mark.line + 1, mark.column + 1) if isinstance(mark, StringMark) else None
    problem = " ".join(str(error.problem or error.context).split())
    hint = next(
        (fix for sign, fix in _HINTS.items() if sign in problem), "check the line above too"
    )
    return Problem(position or Position(1, 1), "", f"is not valid YAML: {problem}; {hint}")
