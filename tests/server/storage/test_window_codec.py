import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.analysis.test_windows import Row, assert_same, rows_strategy, windows
from tidegate_server.analysis.windows import Resolution, empty_windows, roll_up
from tidegate_server.errors import ConfigurationError
from tidegate_server.storage.window_codec import (
    chunk_ms,
    decode_windows,
    encode_windows,
    fields_of,
)


@settings(deadline=None)
@given(rows_strategy, st.sampled_from(Resolution))
def test_windows_come_back(rows: list[Row], resolution: Resolution) -> None:
    made = roll_up(windows(rows), resolution)
    chunks = encode_windows(made)
    assert sorted((c, f) for c, fields in chunks.items() for f in fields) == sorted(fields_of(made))
    stored = {
        chunk: {field.encode(): value for field, value in fields.items()}
        for chunk, fields in chunks.items()
    }
    assert_same(decode_windows(resolution, stored), made)


def test_what_is_not_there_is_no_window() -> None:
    none = decode_windows(Resolution.HOUR, {3: {b"5/error": None}, 4: {}})
    assert_same(none, empty_windows(Resolution.HOUR))


def test_a_chunk_is_an_hour_a_day_or_thirty_days() -> None:
    hours = [chunk_ms(resolution) // 3_600_000 for resolution in Resolution]
    assert hours == [1, 24, 720]


def test_a_window_of_zeros_and_ones_is_small() -> None:
    made = windows([(1, 0, float(i % 2)) for i in range(200)])
    ((_, value),) = encode_windows(made)[int(made.index[0]) // 360].items()
    assert len(value) == 25 + 1 + 2 * 3


def test_a_later_format_is_refused() -> None:
    value = b"\x02" + bytes(24)
    with pytest.raises(ConfigurationError, match="format 2"):
        decode_windows(Resolution.HOUR, {0: {b"0/error": value}})
