from tests.sdk.flags import make_flag, make_snapshot
from tidegate.bucketing import unit_hash
from tidegate.evaluation import CompiledSnapshot, Given
from tidegate.event_batch import LONGEST_OFFSET_MS, Event, count_arms, encode_batch
from tidegate.v1 import event_service_pb2

ID = bytes(range(16))
Series = event_service_pb2.Series


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
            Series(flag_key="chat-model", variant="v1", phase=4, outcome=""),
            Series(flag_key="chat-model", variant="v1", phase=4, outcome="latency_ms"),
            Series(flag_key="other", variant="v1", phase=4, outcome="latency_ms"),
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
    events: list[Event] = [(given(), "x", "u", 1.0, 1.0)] * 2 + [(given("b"), "", "u", 1.0, 1.0)]
    assert count_arms(events) == {("chat-model", "v1", 4): 2, ("b", "v1", 4): 1}
