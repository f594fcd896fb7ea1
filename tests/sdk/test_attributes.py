from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from tidegate.attributes import (
    plain_value,
    randomised_unit,
    read_date,
    read_pattern,
    read_version,
)


class Level(IntEnum):
    HIGH = 3


class Plan(StrEnum):
    PRO = "1.0.0"


class Price(float):
    pass


@pytest.mark.parametrize(
    ("value", "plain"),
    [(True, True), (3, 3), (0.5, 0.5), ("x", "x"), (Level.HIGH, 3), (Plan.PRO, "1.0.0"),
     (Price(1.5), 1.5), (None, None), (b"x", None), ([], None), (object(), None)],
)  # fmt: skip
def test_plain_values(value: object, plain: object) -> None:
    assert plain_value(value) == plain
    assert type(plain_value(value)) is type(plain)


def test_what_cannot_be_read_is_none() -> None:
    assert read_pattern("a+") is not None
    assert read_version(Plan.PRO) == read_version("1")
    assert read_date(datetime(2026, 1, 1, tzinfo=UTC)) == read_date("2026-01-01")
    for read in (read_pattern, read_version, read_date):
        for value in ("(", 5, None, b"1.0"):
            assert read(value) is None


@pytest.mark.parametrize(
    ("attributes", "unit"),
    [
        (None, "user-1"),
        ({}, "user-1"),
        ({"other": "x"}, "user-1"),
        ({"account": "acme"}, "acme"),
        ({"account": Plan.PRO}, "1.0.0"),
        ({"account": Level.HIGH}, "3"),
        ({"account": 0}, "0"),
        ({"account": False}, "user-1"),
        ({"account": 5.0}, "5"),
        ({"account": 5.5}, "user-1"),
        ({"account": 1e300}, "user-1"),
        ({"account": float("nan")}, "user-1"),
        ({"account": ""}, "user-1"),
        ({"account": 10**5_000}, ""),
    ],
    ids=lambda value: "" if isinstance(value, Mapping) else None,
)
def test_the_unit_that_is_randomised(attributes: dict[str, Any] | None, unit: str) -> None:
    found = randomised_unit("account", "user-1", attributes)
    assert found == unit
    assert type(found) is str


def test_without_a_name_no_attribute_is_randomised() -> None:
    assert randomised_unit("", "user-1", {"": "acme"}) == "user-1"
