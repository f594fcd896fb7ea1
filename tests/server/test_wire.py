import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.storage.samples import TIME_MS, arm, message, series
from tidegate.v1 import event_service_pb2
from tidegate_server.domain.events import Events, Series
from tidegate_server.errors import InvalidField
from tidegate_server.wire import END_MS, MAX_EVENTS, MAX_SERIES, decode_batch

Batch = event_service_pb2.EventBatch


def sample() -> Batch:
    batch = message({"": [1, 1], "latency_ms": [12.5, -3.0, 0.0]}, batch_id=bytes(16), dropped=4)
    batch.unit_ids.extend(["anna", "bert"])
    return batch


def test_a_batch_is_decoded() -> None:
    batch = sample()
    batch_id, events = decode_batch(batch.SerializeToString())
    assert batch_id == bytes(16)
    assert events.series == (Series(arm(), ""), Series(arm(), "latency_ms"))
    assert events.series_index.tolist() == [0, 0, 1, 1, 1]
    assert events.unit_hash.tolist() == list(batch.unit_hashes)
    assert events.time_ms.tolist() == [TIME_MS + i for i in range(5)]
    assert events.value.tolist() == [1.0, 1.0, 12.5, -3.0, 0.0]
    assert events.dropped == {arm(): 4}
    assert dtypes(events) == [np.int64, np.uint64, np.int64, np.float64]


def test_only_dropped_events() -> None:
    _, events = decode_batch(message({}, dropped=3).SerializeToString())
    assert events.series == ()
    assert len(events.value) == 0
    assert events.dropped == {arm(): 3}
    assert dtypes(events) == [np.int64, np.uint64, np.int64, np.float64]


def test_dropped_events_of_one_arm_add_up() -> None:
    batch = message({}, dropped=3)
    batch.dropped_events.append(batch.dropped_events[0])
    assert decode_batch(batch.SerializeToString())[1].dropped == {arm(): 6}


def test_the_largest_batch() -> None:
    _, events = decode_batch(message({"": [1.0] * MAX_EVENTS}).SerializeToString())
    assert len(events.value) == MAX_EVENTS
    assert events.unit_hash.max() > 1 << 63


@pytest.mark.parametrize("time_ms", [0, END_MS - 1])
def test_the_first_and_the_last_time(time_ms: int) -> None:
    batch = message({"": [1]})
    batch.base_time_ms, batch.time_offsets_ms[0] = time_ms - 2**31 + 1, 2**31 - 1
    assert decode_batch(batch.SerializeToString())[1].time_ms.tolist() == [time_ms]


Change = Callable[[Batch], object]


def assign(name: str, index: int, value: float | str) -> Change:
    return lambda batch: getattr(batch, name).__setitem__(index, value)


def within(name: str, index: int, field: str, value: str | int) -> Change:
    return lambda batch: setattr(getattr(batch, name)[index], field, value)


def many_series(batch: Batch) -> None:
    batch.series.extend(series(f"o{i}", arm()) for i in range(MAX_SERIES))


def many_dropped(batch: Batch) -> None:
    batch.dropped_events.extend([batch.dropped_events[0]] * MAX_SERIES)


WRONG: list[tuple[Change, str]] = [
    (lambda batch: setattr(batch, "batch_id", b"short"), "batch_id: has 5 bytes"),
    (lambda batch: batch.ClearField("series"), "series: there are 0"),
    (many_series, "series: there are 65,538"),
    (within("series", 1, "flag_key", ""), r"series[1].flag_key: ''"),
    (within("series", 1, "flag_key", "UPPER"), r"series[1].flag_key: 'UPPER'"),
    (within("series", 0, "variant", "-v"), r"series[0].variant: '-v'"),
    (within("series", 0, "variant", "a\n"), r"series[0].variant: 'a\n'"),
    (within("series", 0, "variant", "a/b"), r"series[0].variant: 'a/b'"),
    (within("series", 0, "phase", 0), "series[0].phase: 0 is out of range"),
    (within("series", 1, "outcome", "x" * 101), "series[1].outcome: 'xxx"),
    (within("series", 1, "outcome", "Rating"), "series[1].outcome: 'Rating' is not a valid name"),
    (within("series", 1, "outcome", ""), "series[1]: repeats series[0]"),
    (lambda batch: batch.series_indexes.pop(), "series_indexes: has 4 entries"),
    (lambda batch: batch.unit_hashes.append(1), "unit_hashes: has 6 entries"),
    (lambda batch: batch.ClearField("time_offsets_ms"), "time_offsets_ms: has 0 entries"),
    (lambda batch: batch.values.extend([0.0] * MAX_EVENTS), "values: there are 50,005"),
    (assign("series_indexes", 3, 2), "series_indexes[3]: 2 names none of the 2 series"),
    (assign("series_indexes", 4, 2**32 - 1), "series_indexes[4]: 4294967295 names none"),
    (assign("values", 3, float("nan")), "values[3]: nan"),
    (assign("values", 2, float("inf")), "values[2]: inf"),
    (assign("values", 4, -2e100), "values[4]: -2e+100"),
    (assign("values", 1, 2), "values[1]: 2.0 must be 1"),
    (lambda batch: setattr(batch, "base_time_ms", -1), "time_offsets_ms[0]: 0 after -1"),
    (lambda batch: setattr(batch, "base_time_ms", END_MS - 3), "time_offsets_ms[3]: 3 after"),
    (lambda batch: setattr(batch, "base_time_ms", 2**63 - 1), "base_time_ms: 9223372036854775807"),
    (lambda batch: setattr(batch, "base_time_ms", -(2**63)), "base_time_ms: -9223372036854775808"),
    (many_dropped, "dropped_events: there are 65,537"),
    (within("dropped_events", 0, "count", 0), "dropped_events[0].count: 0 is out of range"),
    (within("dropped_events", 0, "count", 2**62), "dropped_events[0].count: 46116"),
    (within("dropped_events", 0, "phase", -1), "dropped_events[0].phase: -1"),
    (within("dropped_events", 0, "variant", "é"), "dropped_events[0].variant: 'é'"),
    (lambda batch: batch.unit_ids.append(""), "unit_ids[2]: has 0 characters"),
    (assign("unit_ids", 1, "x" * 1001), "unit_ids[1]: has 1,001 characters"),
    (lambda batch: batch.unit_ids.extend("x" * MAX_EVENTS), "unit_ids: there are 50,002"),
]


@pytest.mark.parametrize(("change", "problem"), WRONG)
def test_what_is_wrong_is_named(change: Change, problem: str) -> None:
    batch = sample()
    change(batch)
    with pytest.raises(InvalidField) as caught:
        decode_batch(batch.SerializeToString())
    assert str(caught.value).startswith(problem)


def test_a_long_unit_id_is_counted_in_characters() -> None:
    batch = sample()
    batch.unit_ids[0] = "é" * 1000
    decode_batch(batch.SerializeToString())


@pytest.mark.parametrize("payload", [b"\xff", b"\x0a\xff", sample().SerializeToString()[:-1], b""])
def test_bytes_that_are_no_batch(payload: bytes) -> None:
    with pytest.raises(InvalidField, match="batch"):
        decode_batch(payload)


@pytest.mark.parametrize("outcome", ["_x", ".", "-", "9", "a.b-c_d", "x" * 100])
def test_every_outcome_of_the_right_characters(outcome: str) -> None:
    _, events = decode_batch(message({outcome: [2.0]}).SerializeToString())
    assert events.series == (Series(arm(), outcome),)


def test_split_and_unpacked_columns_are_one() -> None:
    """As any legal encoder may send them."""
    whole = sample()
    halves = [Batch(), Batch()]
    for at, half in enumerate(halves):
        half.CopyFrom(whole)
        for name in ("series_indexes", "unit_hashes", "time_offsets_ms", "values"):
            column = list(getattr(whole, name))
            half.ClearField(name)
            getattr(half, name).extend(column[:2] if at == 0 else column[2:])
    for name in ("batch_id", "series", "dropped_events", "unit_ids"):
        halves[1].ClearField(name)  # type: ignore[arg-type]
    joined = b"".join(half.SerializeToString() for half in halves)
    _, events = decode_batch(joined)
    assert events.value.tolist() == list(whole.values)
    assert events.series_index.tolist() == list(whole.series_indexes)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(InvalidField):
        decode_batch(payload)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_a_mutated_batch_is_decoded_or_refused(seed: int, mutations: int) -> None:
    rng = random.Random(seed)
    payload = bytearray(sample().SerializeToString())
    for _ in range(mutations):
        at = rng.randrange(len(payload))
        match rng.randrange(3):
            case 0:
                payload[at] = rng.randrange(256)
            case 1:
                del payload[at : at + rng.randrange(1, 9)]
            case _:
                payload[at:at] = rng.randbytes(rng.randrange(1, 9))
        if not payload:
            return
    try:
        _, events = decode_batch(bytes(payload))
    except InvalidField:
        return
    assert_valid(events)


def assert_valid(events: Events) -> None:
    count = len(events.value)
    assert [len(events.series_index), len(events.unit_hash), len(events.time_ms)] == [count] * 3
    assert np.isfinite(events.value).all()
    assert ((events.series_index >= 0) & (events.series_index < len(events.series))).all()
    assert ((events.time_ms >= 0) & (events.time_ms < END_MS)).all()
    assert all(number >= 1 for number in events.dropped.values())


def dtypes(events: Events) -> list[object]:
    columns = (events.series_index, events.unit_hash, events.time_ms, events.value)
    return [column.dtype for column in columns]
