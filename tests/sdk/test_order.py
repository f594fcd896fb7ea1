"""Semantic versions and dates."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.order import parse_date, parse_version


def test_precedence_is_that_of_the_specification() -> None:
    """Checks the chain of semver.org 2.0.0, item 11."""
    chain = [
        *("1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"),
        *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.1.0", "1.10.0", "2.0.0"),
    ]
    versions = [parse_version(text) for text in chain]
    assert all(a is not None and b is not None and a < b for a, b in pairwise(versions))


@pytest.mark.parametrize(
    ("left", "right"), [("1.2.3", "1.2.3+build.7"), ("v1.2.3", "1.2.3"), ("1.2", "1.2.0")]
)
def test_these_are_of_one_precedence(left: str, right: str) -> None:
    assert parse_version(left) == parse_version(right) is not None


@pytest.mark.parametrize(
    "text", ["", "v", "1.", "01.2.3", "1.2.3.4", "1.2.3-", "x" * 300, "１.2.3"]
)
def test_these_are_no_versions(text: str) -> None:
    assert parse_version(text) is None


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05.5+02:00", datetime(2026, 1, 2, 1, 4, 5, 500_000, tzinfo=UTC)),
        (datetime(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC)),  # noqa: DTZ001
        (
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))),
            datetime(2026, 1, 1, 23, tzinfo=UTC),
        ),
    ],
)
def test_dates_are_moments(value: object, moment: datetime) -> None:
    assert parse_date(value) == moment


@pytest.mark.parametrize("value", ["", "2026-13-01", "2026-W01-1", "20260102", 5, None, True])
def test_these_are_no_dates(value: object) -> None:
    assert parse_date(value) is None


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    parse_version(text)
    parse_date(text)


@given(st.datetimes(timezones=st.timezones()))
def test_no_datetime_raises(moment: datetime) -> None:
    parse_date(moment)
