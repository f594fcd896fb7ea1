from collections.abc import Callable

import numpy as np
import pytest

from tests.server.storage.samples import TIME_MS, arm, message, series
from tidegate.v1 import event_service_pb2
from tidegate_server.domain.events import Events, Series
from tidegate_server.domain.intake import END_MS, MAX_EVENTS, MAX_SERIES
from tidegate_server.errors import InvalidField
from tidegate_server.wire.batch import decode, decode_batch, encode_kept

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


@pytest.mark.parametrize("count", [1, 64, 65, 200])
@pytest.mark.parametrize("length", [1, 70, 100])
def test_any_number_of_series_of_any_length(count: int, length: int) -> None:
    batch = message({"": [1]})
    names = [f"{number:0{length}}" for number in range(count)]
    batch.series.extend(series(name[-length:], arm()) for name in names)
    found = decode(batch.SerializeToString()).sent.series
    outcomes = [each.outcome for each in batch.series]
    assert [each.series and each.series.outcome for each in found] == outcomes


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
    (lambda batch: batch.ClearField("series"), "series_indexes[0]: 0 names none of the 0 series"),
    (many_series, "series: there are more than 65,536"),
    (lambda batch: setattr(batch, "format", 2), "format: 2 is not known"),
    (lambda batch: setattr(batch, "format", -1), "format: -1 is not known"),
    (within("series", 0, "version_id", "XY"), "series[0].version_id: 'XY'"),
    (within("series", 1, "flag_key", ""), r"series[1].flag_key: ''"),
    (within("series", 1, "flag_key", "UPPER"), r"series[1].flag_key: 'UPPER'"),
    (within("series", 0, "variant", "-v"), r"series[0].variant: '-v'"),
    (within("series", 0, "variant", "a\n"), r"series[0].variant: 'a\n'"),
    (within("series", 0, "variant", "a/b"), r"series[0].variant: 'a/b'"),
    (within("series", 0, "phase", 0), "series[0].phase: 0 is out of range"),
    (within("series", 1, "outcome", "x" * 101), "series[1].outcome: 'xxx"),
    (within("series", 1, "outcome", "Rating"), "series[1].outcome: 'Rating' is not a valid name"),
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
    (lambda batch: setattr(batch, "base_time_ms", -1), "time_offsets_ms[0]: its time -1 is out"),
    (
        lambda batch: setattr(batch, "base_time_ms", END_MS - 3),
        "time_offsets_ms[3]: its time 7258118400000",
    ),
    (lambda batch: setattr(batch, "base_time_ms", 2**63 - 1), "base_time_ms: 9223372036854775807"),
    (lambda batch: setattr(batch, "base_time_ms", -(2**63)), "base_time_ms: -9223372036854775808"),
    (many_dropped, "dropped_events: there are more than 65,536"),
    (within("dropped_events", 0, "count", 0), "dropped_events[0].count: 0 is out of range"),
    (within("dropped_events", 0, "count", 2**62), "dropped_events[0].count: 46116"),
    (within("dropped_events", 0, "phase", -1), "dropped_events[0].phase: -1"),
    (within("dropped_events", 0, "variant", "é"), "dropped_events[0].variant: 'é'"),
    (lambda batch: batch.unit_ids.extend("x" * MAX_EVENTS), "unit_ids: there are more than 50,000"),
]


@pytest.mark.parametrize(("change", "problem"), WRONG)
def test_what_is_wrong_is_named(change: Change, problem: str) -> None:
    batch = sample()
    change(batch)
    with pytest.raises(InvalidField) as caught:
        decode_batch(batch.SerializeToString())
    assert str(caught.value).startswith(problem)


def test_series_may_repeat() -> None:
    """An arm and outcome with two version ids, say."""
    batch = sample()
    batch.series[1].outcome = ""
    for index in (2, 3, 4):
        batch.values[index] = 1
    batch.series[1].version_id = "0" * 16
    _, events = decode_batch(batch.SerializeToString())
    assert events.series == (Series(arm(), ""), Series(arm(), ""))


ODD_IDS = {
    "": "unit_ids[2]: has 0 characters",
    "x" * 1_001: "unit_ids[2]: has 1,001 characters",
    "a\n": "unit_ids[2]: 'a\\n' has control characters",
    "\x7f": "unit_ids[2]: '\\x7f' has control characters",
    "é\x85": "unit_ids[2]: 'é\\x85' has control characters",
}


@pytest.mark.parametrize(("unit_id", "problem"), ODD_IDS.items())
def test_a_wrong_unit_id_is_named_and_left_out(unit_id: str, problem: str) -> None:
    batch = sample()
    batch.unit_ids.extend([unit_id, "Zoë", "x" * 127, "y" * 128])
    decoded = decode(batch.SerializeToString())
    (told,) = decoded.wrong_unit_ids()
    assert told.startswith(problem)
    again = Batch.FromString(encode_kept(decoded, np.arange(5), {}))
    assert list(again.unit_ids) == ["anna", "bert", "Zoë", "x" * 127, "y" * 128]


def test_a_unit_id_that_is_no_utf_8_is_named() -> None:
    payload = sample().SerializeToString() + b"\x42\x02\xc3\x28"
    assert decode(payload).wrong_unit_ids() == ["unit_ids[2]: is no UTF-8"]


@pytest.mark.parametrize("unit_id", ["é" * 1000, "x" * 127, "x" * 128, "\U0001f600", " "])
def test_right_unit_ids(unit_id: str) -> None:
    batch = sample()
    batch.unit_ids.append(unit_id)
    assert decode(batch.SerializeToString()).wrong_unit_ids() == []


def test_the_columns_are_views_of_the_payload() -> None:
    payload = sample().SerializeToString()
    columns = decode(payload).sent.columns
    for column in (columns.series_index, columns.unit_hash, columns.value):
        assert not column.flags.owndata
        assert not column.flags.writeable


def test_what_is_kept_is_encoded_again() -> None:
    batch = sample()
    batch.series[1].version_id = "0" * 16
    kept = encode_kept(decode(batch.SerializeToString()), np.array([2, 4]), {arm("v2", 3): 7})
    again = Batch.FromString(kept)
    wanted = sample()
    del wanted.series[0]
    wanted.series[0].version_id = "0" * 16
    for name in ("series_indexes", "unit_hashes", "time_offsets_ms", "values"):
        column = [getattr(wanted, name)[index] for index in (2, 4)]
        wanted.ClearField(name)
        getattr(wanted, name).extend([0, 0] if name == "series_indexes" else column)
    wanted.dropped_events[0].variant = "v2"
    wanted.dropped_events[0].phase = 3
    wanted.dropped_events[0].count = 7
    assert again == wanted


@pytest.mark.parametrize("payload", [b"\xff", b"\x0a\xff", sample().SerializeToString()[:-1], b""])
def test_bytes_that_are_no_batch(payload: bytes) -> None:
    with pytest.raises(InvalidField, match="batch"):
        decode_batch(payload)


@pytest.mark.parametrize("outcome", ["_x", ".", "-", "9", "a.b-c_d", "x" * 100])
def test_every_outcome_of_the_right_characters(outcome: str) -> None:
    _, events = decode_batch(message({outcome: [2.0]}).SerializeToString())
    assert events.series == (Series(arm(), outcome),)


def dtypes(events: Events) -> list[object]:
    columns = (events.series_index, events.unit_hash, events.time_ms, events.value)
    return [column.dtype for column in columns]
