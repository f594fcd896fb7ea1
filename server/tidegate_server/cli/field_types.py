"""The types of the fields of files: each says in plain words what it wanted instead."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator

from tidegate.order import parse_date, parse_version
from tidegate.patterns import LONGEST_PATTERN, Pattern, PatternError
from tidegate_server.cli.shares import parse_share
from tidegate_server.domain.checks import KEY, KEY_RULE


def kind(value: Any) -> str:
    """Say what a value is, where something else was wanted."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"the text {value!r}" if isinstance(value, str) else f"the number {value}"


def _text(least: int, most: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            fix = "write it after the colon" if value is None else "put it in quotes"
            raise ValueError(f"must be text, not {kind(value)}: {fix}")  # noqa: TRY004
        if not least <= len(value) <= most:
            raise ValueError(f"has {len(value):,} characters: give {least} to {most:,}")
        return value

    return check


def _key(value: Any) -> str:
    text = _text(0, 1_000)(value)
    if not KEY.fullmatch(text):
        raise ValueError(f"{text!r} is not a valid name: use {KEY_RULE}")
    return text


def _share(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a percentage such as 12.5%, not {kind(value)}")  # noqa: TRY004
    return parse_share(value if isinstance(value, str) else repr(value))


def _scalar(value: Any) -> str | int | float | bool:
    if not isinstance(value, str | int | float | bool):
        raise ValueError(f"must be text, a number, true or false, not {kind(value)}")  # noqa: TRY004
    return value


def _positive_share(value: Any) -> int:
    share = _share(value)
    if share == 0:
        raise ValueError("must be more than 0%: leave the layer out for a flag in none")
    return share


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {kind(value)}")  # noqa: TRY004
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {kind(value)}")  # noqa: TRY004
    return value


def _true(value: Any) -> bool:
    if value is not True:
        raise ValueError(
            "must be true: a missing attribute never matches, so its absence can't be asked for"
        )
    return value


def _pattern(value: Any) -> str:
    text = _text(0, LONGEST_PATTERN)(value)
    try:
        Pattern(text)
    except PatternError as error:
        raise ValueError(f"is no valid pattern: {error}") from error
    return text


def _version(value: Any) -> str:
    text = _text(1, 256)(value)
    if parse_version(text) is None:
        raise ValueError(f"{text!r} is no semantic version: write one such as 1.4.0 or 2.0.0-rc.1")
    return text


def _date(value: Any) -> str:
    text = _text(1, 256)(value)
    if parse_date(text) is None:
        raise ValueError(f"{text!r} is no date: write 2026-01-31 or 2026-01-31T12:00:00Z")
    return text


def as_list(value: Any) -> Any:
    """Return a list as it is, and anything else as its only item."""
    return value if isinstance(value, list) else [value]


Key = Annotated[str, PlainValidator(_key)]
Label = Annotated[str, PlainValidator(_text(1, 100))]
LongText = Annotated[str, PlainValidator(_text(0, 2_000))]
UnitId = Annotated[str, PlainValidator(_text(1, 1_000))]
UnitIds = Annotated[list[UnitId], BeforeValidator(as_list), Field(max_length=10_000)]
Share = Annotated[int, PlainValidator(_share)]
"""Parts per million, from a percentage."""

PositiveShare = Annotated[int, PlainValidator(_positive_share)]
"""Parts per million above 0, from a percentage."""

Boolean = Annotated[bool, PlainValidator(_boolean)]
Always = Annotated[bool, PlainValidator(_true)]

Scalar: TypeAlias = str | int | float | bool
Scalars = Annotated[
    list[Annotated[Scalar, PlainValidator(_scalar)]],
    BeforeValidator(as_list),
    Field(min_length=1, max_length=10_000),
]
Texts = Annotated[
    list[Annotated[str, PlainValidator(_text(0, 10_000))]],
    BeforeValidator(as_list),
    Field(min_length=1, max_length=10_000),
]
Patterns = Annotated[
    list[Annotated[str, PlainValidator(_pattern)]],
    BeforeValidator(as_list),
    Field(min_length=1, max_length=10_000),
]
Versions = Annotated[
    list[Annotated[str, PlainValidator(_version)]],
    BeforeValidator(as_list),
    Field(min_length=1, max_length=10_000),
]
Dates = Annotated[
    list[Annotated[str, PlainValidator(_date)]],
    BeforeValidator(as_list),
    Field(min_length=1, max_length=10_000),
]
Keys = Annotated[list[Key], BeforeValidator(as_list), Field(min_length=1, max_length=10_000)]
Numbers = Annotated[
    list[Annotated[int | float, PlainValidator(_number)]],
    BeforeValidator(as_list),
    Field(min_length=1, max_length=10_000),
]
"""One value, or a list of which one must fit."""
