from typing import Any

from hypothesis import given as given_
from hypothesis import settings
from hypothesis import strategies as st

from tests.sdk.flags import make_flag, make_snapshot
from tidegate.arm import Arm, arm_of
from tidegate.bucketing import unit_hash
from tidegate.evaluation import CompiledSnapshot, Given
from tidegate.event_batch import (
    LONGEST_OFFSET_MS,
    ArmKey,
    Event,
    batch_arms,
    count_arms,
    new_batch_id,
)
from tidegate.event_batch import encode_batch as encoded
from tidegate.model import Clause, Operator, Rule, VariantKey
from tidegate.model_version import version_id
from tidegate.v1 import event_service_pb2

ID = bytes(range(16))
VERSION = version_id({"model": "llama-v1", "tags": ["v1"]})


def encode_batch(
    batch_id: bytes, events: list[Event], dropped: dict[ArmKey, int], *, send_unit_ids: bool
) -> event_service_pb2.EventBatch:
    """Encode as the SDK does, and read it with the generated class."""
    batch = encoded(batch_id, events, dropped, send_unit_ids=send_unit_ids)
    message = event_service_pb2.EventBatch.FromString(batch.payload)
    assert batch.size == len(message.values)
    if message.base_time_ms:  # a class leaves out what is 0
        assert message.SerializeToString(deterministic=True) == batch.payload
    return message


def series(flag: str, outcome: str, **more: Any) -> event_service_pb2.Series:
    values: dict[str, Any] = {"variant": "v1", "phase": 4, "version_id": VERSION} | more
    return event_service_pb2.Series(flag_key=flag, outcome=outcome, **values)


def given(key: str = "chat-model") -> Given:
    snapshot = make_snapshot(make_flag(key, shares=(100,), phase=4))
    return CompiledSnapshot(snapshot).evaluate(key, "user-1").given


def test_events_become_columns() -> None:
    chat, other, twin = given(), given("other"), given()
    events: list[Event] = [
        (chat, "", "user-1", 1_000.5, 1.0),
        (chat, "latency_ms", "user-1", 1_000.75, 12.5),
        (other, "latency_ms", "Zoë", 1_000.25, 3.0),
        (twin, "latency_ms", "user-1", 1_001.0, 4.0),
    ]
    batch = encode_batch(ID, events, {("chat-model", "v2", 3): 7}, send_unit_ids=True)
    assert batch == event_service_pb2.EventBatch(
        batch_id=ID,
        series=[  # in the order of their bytes: short keys first
            series("other", "latency_ms"),
            series("chat-model", "latency_ms"),
            series("chat-model", ""),
        ],
        base_time_ms=1_000_500,
        series_indexes=[2, 1, 0, 1],
        unit_hashes=[unit_hash(unit) for unit in ("user-1", "user-1", "Zoë", "user-1")],
        time_offsets_ms=[0, 250, -250, 500],
        values=[1.0, 12.5, 3.0, 4.0],
        unit_ids=["user-1", "Zoë"],
        dropped_events=[
            event_service_pb2.DroppedEvents(flag_key="chat-model", variant="v2", phase=3, count=7)
        ],
        format=1,
    )


def test_the_dictionary_is_the_same_whatever_comes_first() -> None:
    events: list[Event] = [
        (given(key), outcome, "user-1", 1.0, 1.0)
        for key in ("chat-model", "other")
        for outcome in ("", "rating", "latency_ms")
    ]
    first = encode_batch(ID, events, {}, send_unit_ids=False)
    second = encode_batch(ID, events[::-1], {}, send_unit_ids=False)
    assert first.series == second.series
    assert first.series_indexes == second.series_indexes[::-1]


def test_ids_of_units_can_stay_at_home() -> None:
    batch = encode_batch(ID, [(given(), "", "user-1", 1.0, 1.0)], {}, send_unit_ids=False)
    assert not batch.unit_ids
    assert list(batch.unit_hashes) == [unit_hash("user-1")]


def test_a_clock_that_was_set_does_no_harm() -> None:
    chat = given()
    events: list[Event] = [(chat, "x", "u", seconds, 1.0) for seconds in (1e9, 0.0, 2e9)]
    batch = encode_batch(ID, events, {}, send_unit_ids=True)
    assert list(batch.time_offsets_ms) == [0, -LONGEST_OFFSET_MS, LONGEST_OFFSET_MS]


def test_arms_are_counted() -> None:
    one: Event = given(), "x", "u", 1.0, 1.0
    another: Event = given("b"), "", "u", 1.0, 1.0
    events = [one, one, another]
    assert count_arms(events) == {("chat-model", "v1", 4): 2, ("b", "v1", 4): 1}


def test_a_unit_may_be_given_by_its_hash() -> None:
    chat = given()
    events: list[Event] = [
        (chat, "rating", "user-1", 1.0, 5.0),
        (arm_of(chat), "rating", unit_hash("user-1").to_bytes(8, "big"), 1.0, 4.0),
        (arm_of(chat), "rating", unit_hash("Zoë").to_bytes(8, "big"), 1.0, 3.0),
    ]
    batch = encode_batch(ID, events, {}, send_unit_ids=True)
    assert list(batch.series) == [series("chat-model", "rating")]
    assert list(batch.unit_hashes) == [unit_hash(unit) for unit in ("user-1", "user-1", "Zoë")]
    assert list(batch.unit_ids) == ["user-1"]
    assert count_arms(events) == {("chat-model", "v1", 4): 3}


def test_what_lies_outside_the_split_is_another_series() -> None:
    flag = make_flag(
        shares=(100,),
        phase=4,
        rules=(Rule("staff", (Clause("team", Operator.IN, ("eval",)),), VariantKey("v1")),),
    )
    compiled = CompiledSnapshot(make_snapshot(flag))
    inside = compiled.evaluate("chat-model", "u").given
    outside = compiled.evaluate("chat-model", "u", {"team": "eval"}).given
    events: list[Event] = [(inside, "x", "u", 1.0, 1.0), (outside, "x", "u", 1.0, 1.0)]
    batch = encode_batch(ID, events, {}, send_unit_ids=True)
    assert list(batch.series) == [
        series("chat-model", "x"),
        series("chat-model", "x", outside_split=True),
    ]


def test_an_arm_has_one_series_whatever_its_versions() -> None:
    arm = arm_of(given())
    other = Arm(arm.flag, arm.variant, arm.phase, arm.outside_split, "0" * 16)
    events: list[Event] = [(arm, "x", "u", 1.0, 1.0), (other, "x", "u", 1.0, 1.0)]
    batch = encode_batch(ID, events, {}, send_unit_ids=True)
    assert list(batch.series) == [series("chat-model", "x")]
    assert list(batch.series_indexes) == [0, 0]


WHATS: list[Given | Arm] = [given("a"), given("b"), arm_of(given("c"))]
EVENTS = st.tuples(
    st.sampled_from(WHATS),
    st.sampled_from(["", "x", "latency_ms", "o" * 100]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=1_000)
    | st.binary(min_size=8, max_size=8),
    st.floats(-1e10, 1e10),
    st.floats(allow_nan=False),
)


@settings(max_examples=100, deadline=None)
@given_(
    st.lists(EVENTS, min_size=1, max_size=40),
    st.dictionaries(
        st.tuples(st.just("a"), st.just("v1"), st.integers(1, 2**63 - 1)), st.integers(1, 10**9)
    ),
    st.booleans(),
)
def test_any_events_are_encoded_as_by_the_generated_class(
    events: list[Event], dropped: dict[ArmKey, int], send_unit_ids: bool
) -> None:
    message = encode_batch(ID, events, dropped, send_unit_ids=send_unit_ids)
    told = [message.series[index] for index in message.series_indexes]
    assert [(each.flag_key, each.outcome) for each in told] == [(e[0].flag, e[1]) for e in events]
    assert list(message.values) == [event[4] for event in events]
    assert list(message.unit_hashes) == [
        unit_hash(unit) if isinstance(unit, str) else int.from_bytes(unit)
        for _, _, unit, _, _ in events
    ]
    base = message.base_time_ms
    assert base == round(events[0][3] * 1_000)
    for offset, event in zip(message.time_offsets_ms, events, strict=True):
        exact = round(event[3] * 1_000) - base
        assert offset == max(-LONGEST_OFFSET_MS, min(exact, LONGEST_OFFSET_MS))
    ids = dict.fromkeys(event[2] for event in events if isinstance(event[2], str))
    assert list(message.unit_ids) == (list(ids) if send_unit_ids else [])
    assert {(d.flag_key, d.variant, d.phase): d.count for d in message.dropped_events} == dropped


def test_arms_of_a_batch_are_counted_with_the_dropped() -> None:
    one: Event = WHATS[0], "x", "u", 1.0, 1.0
    dropped: dict[ArmKey, int] = {("a", "v1", 4): 3, ("z", "v2", 9): 2}
    batch = encoded(ID, [one, one], dropped, send_unit_ids=True)
    assert batch_arms(batch) == {("a", "v1", 4): 5, ("z", "v2", 9): 2}


def test_the_id_of_a_batch_begins_with_its_time() -> None:
    first, second = new_batch_id(1_760_000_000.5), new_batch_id(1_760_000_000.5)
    assert len(first) == 16
    assert int.from_bytes(first[:6]) == 1_760_000_000_500
    assert first[:6] == second[:6]
    assert first != second
    assert new_batch_id(-1.0)[:6] == bytes(6)  # a clock before 1970
