"""The types of the fields of a flag file: each says in plain words what it wanted instead."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator

from tidegate_server.cli.shares import parse_share
from tidegate_server.domain.flags import KEY, KEY_RULE


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


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Key = Annotated[str, PlainValidator(_key)]
Label = Annotated[str, PlainValidator(_text(1, 100))]
LongText = Annotated[str, PlainValidator(_text(0, 2_000))]
UnitId = Annotated[str, PlainValidator(_text(1, 1_000))]
Share = Annotated[int, PlainValidator(_share)]
"""Parts per million, from a percentage."""

Boolean = Annotated[bool, PlainValidator(_boolean)]
Always = Annotated[bool, PlainValidator(_true)]

Scalar: TypeAlias = str | int | float | bool
Scalars = Annotated[
    list[Annotated[Scalar, PlainValidator(_scalar)]],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=10_000),
]
Texts = Annotated[
    list[Annotated[str, PlainValidator(_text(0, 10_000))]],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=10_000),
]
Numbers = Annotated[
    list[Annotated[int | float, PlainValidator(_number)]],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=10_000),
]
"""One value, or a list of which one must fit."""
