"""Targeting: a rule's clauses, compiled once into a function of the attributes and the unit.

A type never equals another: "1", 1 and True are three values, while 1 and 1.0 are one number. An
attribute that is missing or None never matches, negated or not. An attribute of a type that no
operator knows (a list) is present and equals nothing. No value of an attribute makes a matcher
raise.

A clause's value that can't be read, as a pattern, version or date, matches nothing; a negated
clause with such a value never holds.
"""

import operator as operators
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tidegate.attributes import Attributes, plain_value, read_date, read_pattern, read_version
from tidegate.model import AttributeValue, Clause, Operator, Segment
from tidegate.patterns import Pattern

Matcher: TypeAlias = Callable[[Attributes, str], bool]
"""From attributes and a unit's id to whether they match."""

FindSegment: TypeAlias = Callable[[str], Matcher | None]
"""From a segment's key to the function that tells who is in it; None where there is none."""

Test: TypeAlias = Callable[[Any, Any], bool]
"""From an attribute's value and what it is compared with, to the result."""

_NUMBERS = frozenset({int, float})
_TEXTS = frozenset({str})


def no_segments(_: str) -> None:
    """Find no segment: for clauses that stand alone."""


def compile_clauses(clauses: Sequence[Clause], find: FindSegment = no_segments) -> Matcher:
    """Return the function that tells whether all clauses hold; without a clause it never does."""
    matchers = tuple(_compile(clause, find) for clause in clauses)
    if not matchers:
        return _nobody
    if len(matchers) == 1:
        return matchers[0]

    def all_match(attributes: Attributes, unit: str) -> bool:
        for matches in matchers:  # noqa: SIM110 - a generator would take twice as long
            if not matches(attributes, unit):
                return False
        return True

    return all_match


def compile_segment(segment: Segment) -> Matcher:
    """Return the function that tells whether a unit is in a segment: excluded, included, rules."""
    excluded, included = segment.excluded, segment.included
    rules = tuple(compile_clauses(clauses) for clauses in segment.rules)

    def contains(attributes: Attributes, unit: str) -> bool:
        if unit in excluded:
            return False
        return unit in included or any(matches(attributes, unit) for matches in rules)

    return contains


def unreadable(clause: Clause) -> tuple[AttributeValue, ...]:
    """Return the clause's values that its operator can't read; mostly none."""
    read = _READERS.get(clause.operator)
    return tuple(value for value in clause.values if read and read(value) is None)


def _compile(clause: Clause, find: FindSegment) -> Matcher:
    operator = clause.operator
    if operator is Operator.IN_SEGMENT:
        return _in_segment(clause, find)
    if operator is Operator.EXISTS:
        return _exists(clause.attribute, clause.negate)
    if operator is Operator.IN:
        return _member(clause.attribute, clause.values, clause.negate)
    if operator in _READERS:
        return _read(clause)
    if operator in _TEXT_TESTS:
        texts = tuple(value for value in clause.values if type(value) is str)
        return _compared(clause, _TEXTS, _TEXT_TESTS[operator], texts)
    numbers = [value for value in clause.values if isinstance(value, int | float)]
    numbers = [number for number in numbers if type(number) is not bool]
    test, most_generous = _NUMBER_TESTS[operator]
    if not numbers:
        return _compared(clause, _NUMBERS, _never, None)
    limit = most_generous(numbers)
    careful = _compared(clause, _NUMBERS, test, limit)
    return (
        careful if clause.negate else _NUMBER_MATCHERS[operator](clause.attribute, limit, careful)
    )


def _nobody(_: Attributes, __: str) -> bool:
    return False


def _in_segment(clause: Clause, find: FindSegment) -> Matcher:
    found = [find(value) for value in clause.values if isinstance(value, str)]
    segments = tuple(contains for contains in found if contains is not None)
    negate = clause.negate

    def match(attributes: Attributes, unit: str) -> bool:
        return any(contains(attributes, unit) for contains in segments) is not negate

    return match


def _exists(attribute: str, negate: bool) -> Matcher:
    # Negated it can never hold: it would have to match where the attribute is missing.
    return lambda attributes, _: not negate and attributes.get(attribute) is not None


def _member(attribute: str, values: Sequence[object], negate: bool) -> Matcher:
    texts = frozenset(value for value in values if type(value) is str)
    booleans = frozenset(value for value in values if type(value) is bool)
    numbers = frozenset(value for value in values if type(value) in _NUMBERS)

    def is_member(value: object) -> bool:
        value = plain_value(value)
        return value in (booleans if type(value) is bool else numbers) or value in texts

    def match(attributes: Attributes, _: str) -> bool:
        value = attributes.get(attribute)
        if type(value) is str:
            return value in texts
        return value is not None and is_member(value)

    def match_negated(attributes: Attributes, _: str) -> bool:
        value = attributes.get(attribute)
        return value is not None and not is_member(value)

    return match_negated if negate else match


def _read(clause: Clause) -> Matcher:
    """Compile a clause whose values, and perhaps the attribute, have to be read."""
    read = _READERS[clause.operator]
    readable = [value for value in map(read, clause.values) if value is not None]
    if clause.negate and len(readable) < len(clause.values):
        return _nobody
    if clause.operator is Operator.MATCHES:
        return _compared(clause, _TEXTS, _matches_any, tuple(readable))
    test, most_generous = _ORDER_TESTS[clause.operator]
    if not readable:
        return _ordered(clause, read, _never, None)
    return _ordered(clause, read, test, most_generous(readable))


def _compared(clause: Clause, types: frozenset[type], test: Test, against: object) -> Matcher:
    attribute, negate = clause.attribute, clause.negate

    def match(attributes: Attributes, _: str) -> bool:
        value = attributes.get(attribute)
        if type(value) in types:
            return test(value, against) is not negate
        if value is None:
            return False
        value = plain_value(value)
        return (type(value) in types and test(value, against)) is not negate

    return match


def _ordered(
    clause: Clause, read: Callable[[object], object], test: Test, against: object
) -> Matcher:
    attribute, negate = clause.attribute, clause.negate

    def match(attributes: Attributes, _: str) -> bool:
        value = attributes.get(attribute)
        if value is None:
            return False
        place = read(value)
        return (place is not None and test(place, against)) is not negate

    return match


def _less(attribute: str, limit: float, careful: Matcher) -> Matcher:
    def match(attributes: Attributes, unit: str) -> bool:
        value = attributes.get(attribute)
        if type(value) is int or type(value) is float:
            return value < limit
        return careful(attributes, unit)

    return match


def _less_or_equal(attribute: str, limit: float, careful: Matcher) -> Matcher:
    def match(attributes: Attributes, unit: str) -> bool:
        value = attributes.get(attribute)
        if type(value) is int or type(value) is float:
            return value <= limit
        return careful(attributes, unit)

    return match


def _greater(attribute: str, limit: float, careful: Matcher) -> Matcher:
    def match(attributes: Attributes, unit: str) -> bool:
        value = attributes.get(attribute)
        if type(value) is int or type(value) is float:
            return value > limit
        return careful(attributes, unit)

    return match


def _greater_or_equal(attribute: str, limit: float, careful: Matcher) -> Matcher:
    def match(attributes: Attributes, unit: str) -> bool:
        value = attributes.get(attribute)
        if type(value) is int or type(value) is float:
            return value >= limit
        return careful(attributes, unit)

    return match


def _contains_any(text: str, parts: tuple[str, ...]) -> bool:
    return any(part in text for part in parts)


def _matches_any(text: str, patterns: tuple[Pattern, ...]) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def _one_of(value: object, values: frozenset[object]) -> bool:
    return value in values


def _never(_: object, __: object) -> bool:
    return False


_TEXT_TESTS: dict[Operator, Test] = {
    Operator.CONTAINS: _contains_any,
    Operator.STARTS_WITH: str.startswith,
    Operator.ENDS_WITH: str.endswith,
}

_NUMBER_TESTS: dict[Operator, tuple[Test, Callable[[Sequence[float]], float]]] = {
    Operator.LESS: (operators.lt, max),
    Operator.LESS_OR_EQUAL: (operators.le, max),
    Operator.GREATER: (operators.gt, min),
    Operator.GREATER_OR_EQUAL: (operators.ge, min),
}
"""The test of each operator, and which of several numbers is the easiest to pass."""

_NUMBER_MATCHERS: dict[Operator, Callable[[str, float, Matcher], Matcher]] = {
    Operator.LESS: _less,
    Operator.LESS_OR_EQUAL: _less_or_equal,
    Operator.GREATER: _greater,
    Operator.GREATER_OR_EQUAL: _greater_or_equal,
}
"""What compares an exact number at once: a call of the test would take longer than the rest."""

_ORDER_TESTS: dict[Operator, tuple[Test, Callable[[Sequence[Any]], Any]]] = {
    Operator.VERSION_EQUAL: (_one_of, frozenset),
    Operator.VERSION_LESS: (operators.lt, max),
    Operator.VERSION_LESS_OR_EQUAL: (operators.le, max),
    Operator.VERSION_GREATER: (operators.gt, min),
    Operator.VERSION_GREATER_OR_EQUAL: (operators.ge, min),
    Operator.BEFORE: (operators.lt, max),
    Operator.AFTER: (operators.ge, min),
}
"""The same for versions and dates."""

_READERS: dict[Operator, Callable[[object], object]] = {
    Operator.MATCHES: read_pattern,
    Operator.VERSION_EQUAL: read_version,
    Operator.VERSION_LESS: read_version,
    Operator.VERSION_LESS_OR_EQUAL: read_version,
    Operator.VERSION_GREATER: read_version,
    Operator.VERSION_GREATER_OR_EQUAL: read_version,
    Operator.BEFORE: read_date,
    Operator.AFTER: read_date,
}
"""How the values of a clause are read."""
