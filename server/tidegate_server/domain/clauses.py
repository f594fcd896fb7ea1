"""What a clause of a rule or a segment may say."""

from collections.abc import Callable, Collection, Mapping

from tidegate.model import AttributeValue, Clause, Operator, SegmentKey
from tidegate.order import parse_date, parse_version
from tidegate.patterns import Pattern, PatternError
from tidegate_server.domain.checks import check_count, check_length, unknown
from tidegate_server.errors import InvalidField

MOST_VALUES = 10_000
"""Most values of one clause."""

Problem = Callable[[AttributeValue], str]
"""Says what is wrong with a value; "" where nothing is."""


def check_clause(path: str, clause: Clause, segments: Collection[SegmentKey] | None) -> None:
    """Check one clause; `segments` are those that exist, or None where none may be named.

    Raises:
        InvalidField: names the part that breaks a rule, from `path` on.
    """
    if clause.operator is Operator.IN_SEGMENT:
        _check_segments(path, clause, segments)
        return
    check_length(f"{path}.attribute", clause.attribute, 1, 100)
    if clause.operator is Operator.EXISTS:
        if clause.values:
            raise InvalidField(f"{path}.values", "must be empty for the operator 'exists'")
        return
    check_count(f"{path}.values", clause.values, 1, MOST_VALUES)
    find_problem = _PROBLEMS.get(clause.operator, _no_problem)
    for index, value in enumerate(clause.values):
        problem = find_problem(value)
        if problem:
            raise InvalidField(f"{path}.values[{index}]", f"{problem} for {clause.operator!r}")


def _check_segments(path: str, clause: Clause, segments: Collection[SegmentKey] | None) -> None:
    if segments is None:
        raise InvalidField(
            f"{path}.operator", "segments do not nest: repeat the other segment's clauses here"
        )
    if clause.attribute:
        raise InvalidField(f"{path}.attribute", "must be empty for the operator 'in_segment'")
    check_count(f"{path}.values", clause.values, 1, MOST_VALUES)
    for index, value in enumerate(clause.values):
        if value not in segments:
            raise InvalidField(
                f"{path}.values[{index}]",
                f"segment {unknown(str(value), segments)}; a segment is made before it is used",
            )


def _no_problem(_: AttributeValue) -> str:
    return ""


def _number(value: AttributeValue) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if number else f"{value!r} must be a number"


def _text(value: AttributeValue) -> str:
    return "" if isinstance(value, str) else f"{value!r} must be a string"


def _pattern(value: AttributeValue) -> str:
    if not isinstance(value, str):
        return _text(value)
    try:
        Pattern(value)
    except PatternError as error:
        return f"{value!r} is no valid pattern ({error})"
    return ""


def _version(value: AttributeValue) -> str:
    if isinstance(value, str) and parse_version(value) is not None:
        return ""
    return f"{value!r} must be a semantic version such as '1.4.0' or '2.0.0-rc.1'"


def _date(value: AttributeValue) -> str:
    if isinstance(value, str) and parse_date(value) is not None:
        return ""
    return f"{value!r} must be a date such as '2026-01-31' or '2026-01-31T12:00:00Z'"


_PROBLEMS: Mapping[Operator, Problem] = {
    Operator.CONTAINS: _text,
    Operator.STARTS_WITH: _text,
    Operator.ENDS_WITH: _text,
    Operator.LESS: _number,
    Operator.LESS_OR_EQUAL: _number,
    Operator.GREATER: _number,
    Operator.GREATER_OR_EQUAL: _number,
    Operator.MATCHES: _pattern,
    Operator.VERSION_EQUAL: _version,
    Operator.VERSION_LESS: _version,
    Operator.VERSION_LESS_OR_EQUAL: _version,
    Operator.VERSION_GREATER: _version,
    Operator.VERSION_GREATER_OR_EQUAL: _version,
    Operator.BEFORE: _date,
    Operator.AFTER: _date,
}
