from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_server.domain.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1_800), ("1h30m", 5_400), ("7d", 604_800), ("1w", 604_800), ("0s", 0)],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "m", "30 m", "30min", "1.5h", "-1m", "m30", "30m1h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 999_999 * 86_400))
def test_durations_read_back(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(format_duration(span)) == span
