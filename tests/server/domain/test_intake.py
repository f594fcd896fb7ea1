import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.server.storage.samples import TIME_MS, arm
from tidegate_server.domain.events import Series
from tidegate_server.domain.intake import (
    END_MS,
    MAX_DROPPED,
    MOST_AHEAD_MS,
    OFFSET_RANGE,
    OLDEST_MS,
    Columns,
    Dictionary,
    Refused,
    Sent,
    SentDropped,
    SentSeries,
    Times,
    is_good,
    sift,
    wrong_events,
)

LATENCY = SentSeries(arm(), Series(arm(), "latency_ms"))
EXPOSURE = SentSeries(arm(), Series(arm(), ""))
MISNAMED = SentSeries(arm("v2"), None, "outcome: 'X' is not a valid name")
NAMELESS = SentSeries(None, None, "flag_key: '' is not a valid name")


def sent(
    series: list[SentSeries], index: list[int], *dropped: SentDropped, base_ms: int = TIME_MS
) -> Sent:
    count = len(index)
    columns = Columns(
        np.array(index, np.uint32),
        np.arange(count, dtype=np.uint64),
        base_ms,
        np.zeros(count, np.int32),
        np.ones(count),
    )
    return Sent(Dictionary.of(tuple(series)), dropped, columns)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([1.0, 0.0, -5.5, 1e100, 1.1e100, math.nan, math.inf, -math.inf]),
        st.sampled_from([-OFFSET_RANGE, -1, 0, 1, OFFSET_RANGE - 1]),
    ),
    max_size=4,
)
BASES_MS = st.sampled_from([-OFFSET_RANGE, 0, TIME_MS, END_MS, END_MS + OFFSET_RANGE])


@given(st.lists(st.sampled_from([LATENCY, EXPOSURE, MISNAMED]), max_size=3), BASES_MS, EVENTS)
def test_the_short_way_finds_the_same(
    series: list[SentSeries], base_ms: int, events: list[tuple[int, float, int]]
) -> None:
    index, values, offsets = zip(*events, strict=True) if events else ((), (), ())
    columns = Columns(
        np.array(index, np.uint32),
        np.zeros(len(events), np.uint64),
        base_ms,
        np.array(offsets, np.int32),
        np.array(values, np.float64),
    )
    batch = Sent(Dictionary.of(tuple(series)), (), columns)
    problems = [each.problem for each in series]
    nothing_wrong = not any(problems) and not len(wrong_events(batch, problems, Times()))
    assert is_good(batch, problems, Times()) == nothing_wrong


def none_unknown(batch: Sent) -> list[str]:
    return [""] * len(batch.arms)


def test_a_batch_in_which_nothing_is_wrong_is_whole() -> None:
    batch = sent([LATENCY, EXPOSURE], [0, 1, 0], SentDropped(arm("v2"), 5))
    found = sift(batch, none_unknown(batch), [], Times())
    assert found.whole
    assert found.kept.tolist() == [0, 1, 2]
    assert found.dropped == {arm("v2"): 5}


def test_events_of_a_wrong_series_are_refused_and_counted_where_the_arm_is_known() -> None:
    batch = sent([LATENCY, MISNAMED, NAMELESS], [0, 1, 2, 1, 0])
    found = sift(batch, none_unknown(batch), [], Times())
    assert not found.whole
    assert found.kept.tolist() == [0, 4]
    assert found.refused == [
        Refused(1, "series[1].outcome: 'X' is not a valid name"),
        Refused(2, "series[2].flag_key: '' is not a valid name"),
        Refused(3, "series[1].outcome: 'X' is not a valid name"),
    ]
    assert found.dropped == {arm("v2"): 2}
    assert found.left_out == []


def test_events_of_unknown_arms_are_refused_and_not_counted() -> None:
    batch = sent([LATENCY, EXPOSURE], [0, 1], SentDropped(arm("v2"), 5))
    found = sift(batch, ["", "variant: unknown", "flag_key: unknown"], [], Times())
    assert found.refused == [Refused(1, "series[1].variant: unknown")]
    assert found.dropped == {}
    assert found.left_out == ["dropped_events[0].flag_key: unknown"]


def test_lost_events_outside_the_split_count_for_their_arm() -> None:
    outside = arm()
    outside = type(outside)(outside.flag, outside.phase, outside.variant, outside_split=True)
    batch = sent([SentSeries(outside, None, "outcome: bad")], [0, 0], SentDropped(arm(), 3))
    assert sift(batch, none_unknown(batch), [], Times()).dropped == {arm(): 5}


def test_counts_stay_within_what_an_entry_may_say() -> None:
    batch = sent([], [], SentDropped(arm(), MAX_DROPPED), SentDropped(arm(), 1))
    assert sift(batch, none_unknown(batch), [], Times()).dropped == {arm(): MAX_DROPPED}


def test_what_no_event_is_about_is_left_out_with_its_place() -> None:
    batch = sent([LATENCY, NAMELESS], [0], SentDropped(None, 1, "variant: wrong"))
    found = sift(batch, none_unknown(batch), ["unit_ids[7]: is no UTF-8"], Times())
    assert found.kept.tolist() == [0]
    assert found.left_out == [
        "series[1].flag_key: '' is not a valid name",
        "dropped_events[0].variant: wrong",
        "unit_ids[7]: is no UTF-8",
    ]
    many = sift(batch, none_unknown(batch), [f"unit_ids[{i}]: x" for i in range(500)], Times())
    assert len(many.left_out) == 100


def test_times_reach_from_400_days_ago_to_an_hour_ahead() -> None:
    times = Times.around(TIME_MS)
    for base_ms, offsets, right in (
        (TIME_MS - OLDEST_MS, [-1, 0], [1]),
        (TIME_MS + MOST_AHEAD_MS, [0, 1], [0]),
    ):
        batch = sent([LATENCY], [0] * 2, base_ms=base_ms)
        batch.columns.time_offset_ms[:] = offsets
        found = sift(batch, [""], [], times)
        assert found.kept.tolist() == right
        (refused,) = found.refused
        assert refused.reason.startswith(f"time_offsets_ms[{refused.index}]: its time ")
    assert Times.around(0).first_ms == 0
    assert Times.around(END_MS).end_ms == END_MS


def test_only_the_first_hundred_are_named_and_all_are_counted() -> None:
    batch = sent([NAMELESS], [0] * 1_000)
    found = sift(batch, [""], [], Times())
    assert (found.refused_count, len(found.refused)) == (1_000, 100)
