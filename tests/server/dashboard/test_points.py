"""Series that are put together from answers that overlap."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.v1 import report_service_pb2
from tidegate_server.dashboard.points import SPANS, SeriesTable, merged, since, span_of
from tidegate_server.dashboard.recent import recent_cells, recent_columns, requests

SPAN = SPANS[0]
START = datetime(2026, 7, 1, 12, tzinfo=UTC)
TEN_SECONDS = timedelta(seconds=10)
Events = Mapping[int, int]
"""How many events there are in each window, by its place after START."""


def answer(
    events: Mapping[tuple[str, str], Events], asked: datetime, read: datetime
) -> report_service_pb2.GetSeriesResponse:
    """Return what a server says that has these events."""
    made = report_service_pb2.GetSeriesResponse()
    made.read_time.FromDatetime(read)
    for (variant, outcome), windows in sorted(events.items()):
        series = report_service_pb2.OutcomeSeries(variant=variant, outcome=outcome)
        for place, count in sorted(windows.items()):
            start = START + place * TEN_SECONDS
            if count and asked <= start <= read:
                point = series.points.add(count=count, mean=count / 2)
                point.start_time.FromDatetime(start)
                if outcome:
                    point.p50, point.p95, point.p99 = 1.0, 2.0, 3.0
        if series.points:
            made.series.append(series)
    return made


def test_windows_begin_at_their_multiples() -> None:
    assert SPAN.window_of(datetime(2026, 7, 1, 12, 0, 19, 999_999, UTC)) == START + TEN_SECONDS
    assert SPAN.start(START + timedelta(minutes=31, seconds=5)) == START + timedelta(minutes=1)
    hour = span_of("7d")
    assert hour.window_of(START + timedelta(minutes=59)) == START
    assert span_of("nonsense") == SPAN
    assert [span_of(each.label) for each in SPANS] == list(SPANS)


@given(
    events=st.dictionaries(
        st.tuples(st.sampled_from(["v1", "v2"]), st.sampled_from(["", "error"])),
        st.dictionaries(st.integers(0, 400), st.integers(1, 9), max_size=30),
        max_size=4,
    ),
    reads=st.lists(st.integers(1, 130), min_size=1, max_size=8),
)
def test_what_is_merged_is_what_one_answer_would_say(
    events: Mapping[tuple[str, str], Events], reads: list[int]
) -> None:
    """Whatever is asked for when, as long as events come within the windows asked for again."""
    table: SeriesTable | None = None
    now = START
    for seconds in reads:
        now += timedelta(seconds=seconds)
        start = SPAN.start(now)
        asked = since(table, start, now)
        table = merged(table, answer(events, asked, now), asked, start, SPAN)
        whole = merged(None, answer(events, start, now), start, start, SPAN)
        assert table.series == whole.series
        assert all(table.series.values())


def test_late_events_are_seen_within_a_minute() -> None:
    early, late = {("v1", "error"): {0: 5}}, {("v1", "error"): {0: 8}}
    now = START + timedelta(minutes=5)
    start = SPAN.start(now)
    table = merged(None, answer(early, start, now), start, start, SPAN)
    soon = now + timedelta(seconds=30)
    asked = since(table, SPAN.start(soon), soon)
    assert asked > START, "only the last windows are asked for"
    table = merged(table, answer(late, asked, soon), asked, SPAN.start(soon), SPAN)
    assert table.series["v1", "error"][0].count == 5
    then = now + timedelta(seconds=61)
    asked = since(table, SPAN.start(then), then)
    table = merged(table, answer(late, asked, then), asked, SPAN.start(then), SPAN)
    assert table.series["v1", "error"][0].count == 8


@pytest.fixture
def table() -> SeriesTable:
    """Read five seconds into window 6, which is open: 4 and 5 are the last that closed."""
    events = {
        ("v1", ""): {5: 100},
        ("v1", "latency_ms"): {2: 10, 4: 20, 5: 40, 6: 4},
        ("v1", "error"): {3: 50, 4: 20, 5: 60},
        ("v1", "tokens"): {5: 2},
        ("v2", "latency_ms"): {1: 10},
        ("v3", "latency_ms"): {4: 6},
    }
    read = START + 6.5 * TEN_SECONDS
    return merged(None, answer(events, START, read), START, START, SPAN)


def test_requests_are_counted_by_the_outcome_that_has_most(table: SeriesTable) -> None:
    rates = [(point.start - START, rate) for point, rate in requests(table, "v1")]
    assert rates == [
        (2 * TEN_SECONDS, 1.0),
        (3 * TEN_SECONDS, 5.0),
        (4 * TEN_SECONDS, 2.0),
        (5 * TEN_SECONDS, 6.0),
    ]


def test_the_last_moments_are_those_of_closed_windows(table: SeriesTable) -> None:
    columns = recent_columns(table.outcomes)
    assert columns == ["QPS", "p50 ms", "p95 ms", "p99 ms", "error rate", "tokens"]
    told = dict(zip(columns, recent_cells(table, "v1", table.outcomes), strict=True))
    assert told["p50 ms"] == "1"
    assert told["tokens"] == "1"
    mean = (50 * 25 + 20 * 10 + 60 * 30) / 130
    assert told["error rate"] == f"{mean:.2%}"
    assert told["QPS"] == f"{(5 + 2 + 6) / 3:.4g}"
    rare = recent_cells(table, "v3", table.outcomes)
    assert rare[0] == f"{6 / 30:.4g}", "events of one window, in all of the time"
    assert recent_cells(table, "v2", table.outcomes) == ["–"] * 6
    assert recent_cells(table, "v4", table.outcomes) == ["–"] * 6
