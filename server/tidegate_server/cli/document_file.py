"""Files of one flag, segment or experiment: read with every problem named by its place."""

from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tidegate_server.cli.clause_document import FORMS, Document
from tidegate_server.cli.field_types import kind
from tidegate_server.cli.yaml_tree import Path, Position, Problem, Tree, parse
from tidegate_server.domain.checks import unknown
from tidegate_server.errors import ConfigurationError

D = TypeVar("D", bound=Document)
Check = Callable[[Tree, Mapping[str, Any]], None]
"""Reports to the tree what is wrong beyond the types of fields."""


class DocumentError(ConfigurationError):
    """A file is wrong: one line for each problem, as file:line:column: field: problem."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(_line(file, problem) for problem in self.problems))


def read_text(file: FilePath) -> str:
    """Return the text of a file.

    Raises:
        DocumentError: it is no UTF-8 text.
        ConfigurationError: there is no such file, or it can't be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{file}: cannot be read ({error.strerror}): give the path of a YAML file"
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        problem = Problem(Position(line, column), "", "is not UTF-8 text: save the file as UTF-8")
        raise DocumentError(str(file), [problem]) from error


def parse_document(name: str, text: str, kind_of: type[D], check: Check) -> tuple[D, Tree]:
    """Check the text of a file called `name`, whose first field names what it describes.

    Raises:
        DocumentError: names every problem at once.
    """
    tree = parse(text)
    document = None
    if isinstance(tree.data, dict):
        document = _validate(tree, kind_of)
        check(tree, tree.data)
    elif not tree.problems:
        first = next(iter(kind_of.model_fields))
        tree.report((), f"must be a mapping that begins with `{first}:`, not {kind(tree.data)}")
    if tree.problems or document is None:
        raise DocumentError(name, tree.problems)
    return document, tree


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def _line(file: str, problem: Problem) -> str:
    field = f"{problem.path}: " if problem.path else ""
    place = problem.position
    return f"{file}:{place.line}:{place.column}: {field}{problem.message}"


def _validate(tree: Tree, kind_of: type[D]) -> D | None:
    try:
        return kind_of.model_validate(tree.data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _report(tree, kind_of, detail)
        return None


def _report(tree: Tree, kind_of: type[Document], detail: ErrorDetails) -> None:
    path = _without_forms(detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = _fields(kind_of, detail["loc"])
        tree.report(path, f"the field {unknown(str(path[-1]), known)}", key=True)
    elif path and path[-1] == "[key]":
        tree.report(path[:-1], _message(detail), key=True)
    else:
        tree.report(path, _message(detail))


def _without_forms(location: Path) -> Path:
    """Return where something is in the file: pydantic puts the form after `when[0]`."""
    return tuple(
        step
        for index, step in enumerate(location)
        if not (step in FORMS and index >= 2 and location[index - 2] == "when")
    )


def _fields(kind_of: type[Document], location: Path) -> list[str]:
    """Return the fields of the mapping that the last step of `location` is in."""
    here: Any = kind_of
    for step in location[:-1]:
        here = _inside(_bare(here), step)
    return [field.alias or name for name, field in _bare(here).model_fields.items()]


def _inside(annotation: Any, step: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Document):
        fields = annotation.model_fields
        return next(
            field.annotation for name, field in fields.items() if step in (name, field.alias)
        )
    if get_origin(annotation) in (Union, UnionType):
        return FORMS[step]
    return get_args(annotation)[-1]  # an item of a list, or a value of a dictionary


def _bare(annotation: Any) -> Any:
    """Return a type without `Annotated` and `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    kinds = get_args(annotation)
    return kinds[0] if len(kinds) == 2 and kinds[1] is type(None) else annotation


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
