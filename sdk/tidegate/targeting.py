"""Targeting: a rule's clauses, compiled once into a function of the attributes.

A type never equals another: "1", 1 and True are three values, while 1 and 1.0 are one number. An
attribute that is missing or None never matches, negated or not. An attribute of a type that no
operator knows (a list, a date) is present and equals nothing. No value of an attribute makes a
matcher raise.
"""

import operator as operators
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tidegate.model import Clause, Operator

Attributes: TypeAlias = Mapping[str, Any]
Matcher: TypeAlias = Callable[[Attributes], bool]
Test: TypeAlias = Callable[[Any, Any], bool]
"""From an attribute's value and what it is compared with, to the result."""

_NUMBERS = frozenset({int, float})
_TEXTS = frozenset({str})


def compile_clauses(clauses: Sequence[Clause]) -> Matcher:
    """Return the function that tells whether all clauses hold for some attributes."""
    matchers = tuple(_compile(clause) for clause in clauses)
    if len(matchers) == 1:
        return matchers[0]

    def all_match(attributes: Attributes) -> bool:
        for matches in matchers:  # noqa: SIM110 - a generator would take twice as long
            if not matches(attributes):
                return False
        return True

    return all_match


def _compile(clause: Clause) -> Matcher:
    operator = clause.operator
    if operator is Operator.EXISTS:
        return _exists(clause.attribute, clause.negate)
    if operator is Operator.IN:
        return _member(clause.attribute, clause.values, clause.negate)
    if operator in _TEXT_TESTS:
        texts = tuple(value for value in clause.values if type(value) is str)
        return _compared(clause, _TEXTS, _TEXT_TESTS[operator], texts)
    test, most_generous = _NUMBER_TESTS[operator]
    numbers = [value for value in clause.values if isinstance(value, int | float)]
    numbers = [number for number in numbers if type(number) is not bool]
    if not numbers:
        return _compared(clause, _NUMBERS, _never, None)
    return _compared(clause, _NUMBERS, test, most_generous(numbers))


def _exists(attribute: str, negate: bool) -> Matcher:
    # Negated it can never hold: it would have to match where the attribute is missing.
    return lambda attributes: not negate and attributes.get(attribute) is not None


def _member(attribute: str, values: Sequence[object], negate: bool) -> Matcher:
    texts = frozenset(value for value in values if type(value) is str)
    booleans = frozenset(value for value in values if type(value) is bool)
    numbers = frozenset(value for value in values if type(value) in _NUMBERS)

    def match(attributes: Attributes) -> bool:
        value = attributes.get(attribute)
        if type(value) is str:
            return (value in texts) is not negate
        if value is None:
            return False
        value = _plain(value)
        same_type = booleans if type(value) is bool else numbers
        return (value in same_type or value in texts) is not negate

    return match


def _compared(clause: Clause, types: frozenset[type], test: Test, against: object) -> Matcher:
    attribute, negate = clause.attribute, clause.negate

    def match(attributes: Attributes) -> bool:
        value = attributes.get(attribute)
        if type(value) in types:
            return test(value, against) is not negate
        if value is None:
            return False
        value = _plain(value)
        return (type(value) in types and test(value, against)) is not negate

    return match


def _plain(value: object) -> object:
    """Return a subclass's value as the exact built-in type, or None where there is none.

    The types' own methods are called, so that nothing a subclass overrides can run.
    """
    kind = type(value)
    if kind is bool:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)  # type: ignore[arg-type]
    if issubclass(kind, float):
        return float.__float__(value)  # type: ignore[arg-type]
    return None


def _contains_any(text: str, parts: tuple[str, ...]) -> bool:
    return any(part in text for part in parts)


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
