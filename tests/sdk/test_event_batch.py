from typing import Any

from tests.sdk.flags import make_flag, make_snapshot
from tidegate.arm import Arm, arm_of
from tidegate.bucketing import unit_hash
from tidegate.evaluation import CompiledSnapshot, Given
from tidegate.event_batch import LONGEST_OFFSET_MS, Event, count_arms, encode_batch
from tidegate.model import Clause, Operator, Rule, VariantKey
from tidegate.model_version import version_id
from tidegate.v1 import event_service_pb2

ID = bytes(range(16))
VERSION = version_id({"model": "llama-v1", "tags": ["v1"]})


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
        series=[
            series("chat-model", ""),
            series("chat-model", "latency_ms"),
            series("other", "latency_ms"),
        ],
        base_time_ms=1_000_500,
        series_indexes=[0, 1, 2, 1],
        unit_hashes=[unit_hash(unit) for unit in ("user-1", "user-1", "Zoë", "user-1")],
        time_offsets_ms=[0, 250, -250, 500],
        values=[1.0, 12.5, 3.0, 4.0],
        unit_ids=["user-1", "Zoë"],
        dropped_events=[
            event_service_pb2.DroppedEvents(flag_key="chat-model", variant="v2", phase=3, count=7)
        ],
    )


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
    """The server refuses a batch that names an arm and outcome twice."""
    arm = arm_of(given())
    other = Arm(arm.flag, arm.variant, arm.phase, arm.outside_split, "0" * 16)
    events: list[Event] = [(arm, "x", "u", 1.0, 1.0), (other, "x", "u", 1.0, 1.0)]
    batch = encode_batch(ID, events, {}, send_unit_ids=True)
    assert list(batch.series) == [series("chat-model", "x")]
    assert list(batch.series_indexes) == [0, 0]
