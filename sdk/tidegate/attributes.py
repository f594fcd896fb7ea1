"""Attributes as an application hands them over, read so that nothing it passes can raise."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from tidegate.order import Version, parse_date, parse_version
from tidegate.patterns import Pattern, PatternError

Attributes: TypeAlias = Mapping[str, Any]

EXACT = 1 << 53
"""Whole numbers up to this size are exact as floats."""

LONGEST_INTEGER = 4_096
"""Bits of an integer that may stand for a unit; a longer one has more digits than an id may."""


def plain_value(value: object) -> bool | int | float | str | None:
    """Return an attribute as the exact `bool`, `int`, `float` or `str` that it is; None otherwise.

    The types' own methods are called, so that nothing a subclass overrides can run.
    """
    kind = type(value)
    if kind is bool:
        return value  # type: ignore[return-value]
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)  # type: ignore[arg-type]
    if issubclass(kind, float):
        return float.__float__(value)  # type: ignore[arg-type]
    return None


def read_pattern(value: object) -> Pattern | None:
    """Return a clause's value as a pattern; None where it can't be compiled."""
    try:
        return Pattern(value) if isinstance(value, str) else None
    except PatternError:
        return None


def read_version(value: object) -> Version | None:
    """Return an attribute or a clause's value as a semantic version; None where it is none."""
    text = plain_value(value)
    return parse_version(text) if isinstance(text, str) else None


def read_date(value: object) -> datetime | None:
    """Return an attribute or a clause's value as a moment; None where it is none."""
    if not issubclass(type(value), datetime):
        return parse_date(plain_value(value))
    try:
        return parse_date(value)
    except Exception:  # noqa: BLE001 - its time zone, and a subclass, are the application's code
        return None


def randomised_unit(attribute: str, unit_id: object, attributes: Attributes | None) -> object:
    """Return what a flag whose `unit_attribute` is `attribute` randomises in place of `unit_id`.

    It is the attribute where that is a string that is not empty, or a whole number, in its decimal
    form (5.0 is 5, as it is in JSON); otherwise, and for a flag without one (""), `unit_id`. May be
    no valid id of a unit.
    """
    value = plain_value(attributes.get(attribute)) if attribute and attributes else None
    if type(value) is float and value.is_integer() and abs(value) <= EXACT:
        value = int(value)
    if type(value) is int:
        return str(value) if value.bit_length() <= LONGEST_INTEGER else ""
    return value if type(value) is str and value else unit_id
