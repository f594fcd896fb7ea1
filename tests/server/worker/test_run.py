from collections.abc import Sequence

import numpy as np
from structlog.testing import capture_logs

from tests.server.storage.samples import TIME_MS, arm, message
from tidegate_server.domain.events import Events, Offset, Series
from tidegate_server.ports import Entry
from tidegate_server.wire.batch import decode_batch
from tidegate_server.worker.run import Limits, arms_of, decode_run, join

V1, V2 = arm("v1"), arm("v2")


def entries(*payloads: bytes) -> Sequence[Entry]:
    return [Entry(Offset(f"{i + 1}-0"), payload) for i, payload in enumerate(payloads)]


def test_series_are_joined_and_events_kept_in_order() -> None:
    parts = [
        message({"": [1], "latency_ms": [1.5, 2.5]}, of=V1, dropped=2),
        message({"latency_ms": [3.5]}, of=V2),
        message({}, of=V1, dropped=5),
        message({"rating": [4], "latency_ms": [5.5]}, of=V1),
    ]
    run = decode_run(entries(*(part.SerializeToString() for part in parts)), Limits())
    found = [
        (run.events.series[index], value)
        for index, value in zip(run.events.series_index, run.events.value, strict=True)
    ]
    assert found == [
        (Series(V1, ""), 1.0),
        (Series(V1, "latency_ms"), 1.5),
        (Series(V1, "latency_ms"), 2.5),
        (Series(V2, "latency_ms"), 3.5),
        (Series(V1, "rating"), 4.0),
        (Series(V1, "latency_ms"), 5.5),
    ]
    assert len(set(run.events.series)) == len(run.events.series)
    assert run.events.dropped == {V1: 7}
    assert run.events.unit_hash.tolist() == [each for part in parts for each in part.unit_hashes]
    assert run.end == "4-0"


def test_a_poison_entry_does_not_hold_up_the_others() -> None:
    good = message({"latency_ms": [1]}).SerializeToString()
    batch = entries(good, b"poison", good, b"")
    with capture_logs() as logs:
        run = decode_run(batch, Limits())
    assert [each.entry for each in run.rejected] == [batch[1], batch[3]]
    assert all("batch" in each.reason for each in run.rejected)
    assert run.events.value.tolist() == [1.0, 1.0]
    assert run.end == "4-0"
    assert [(each["event"], each["log_level"], each["offset"]) for each in logs] == [
        ("batch_set_aside", "error", "2-0"),
        ("batch_set_aside", "error", "4-0"),
    ]


def test_nothing_but_poison() -> None:
    run = decode_run(entries(b"poison"), Limits())
    assert len(run.rejected) == 1
    assert run.events.series == ()
    assert run.events.unit_hash.dtype == np.uint64


def test_a_run_ends_before_it_has_too_many_events() -> None:
    three = message({"latency_ms": [1, 2, 3]}).SerializeToString()
    run = decode_run(entries(three, three, three), Limits(events=7))
    assert run.end == "2-0"
    assert len(run.events.value) == 6


def test_a_run_ends_before_it_has_too_many_arms() -> None:
    payloads = [message({"": [1]}, of=arm(f"v{i}")).SerializeToString() for i in range(5)]
    run = decode_run(entries(payloads[0], payloads[0], *payloads[1:]), Limits(arms=2))
    assert run.end == "3-0"
    assert arms_of(run.events) == {arm("v0"), arm("v1")}


def test_a_run_ends_before_it_has_too_many_series() -> None:
    payloads = [message({f"outcome-{i}": [1]}).SerializeToString() for i in range(4)]
    assert decode_run(entries(*payloads), Limits(series=2)).end == "2-0"


def test_a_run_ends_before_it_has_too_many_windows() -> None:
    scattered = message({"latency_ms": [1, 2, 3, 4]})
    scattered.time_offsets_ms[:] = [0, 60_000, 120_000, 180_000]
    payload = scattered.SerializeToString()
    assert decode_run(entries(payload, payload, payload), Limits(windows=9)).end == "2-0"


def test_no_event_is_later_than_its_arrival() -> None:
    """However far its client's clock is ahead; what is late keeps its time."""
    ahead = message({"latency_ms": [1, 2, 3, 4]})
    ahead.time_offsets_ms[:] = [-86_400_000, 0, 60_000, 3_600_000]
    payload = ahead.SerializeToString()
    arrival, later = Offset(f"{TIME_MS}-0"), Offset(f"{TIME_MS + 30_000}-7")
    run = decode_run([Entry(arrival, payload), Entry(later, payload)], Limits())
    assert (run.events.time_ms - TIME_MS).tolist() == [
        *(-86_400_000, 0, 0, 0),
        *(-86_400_000, 0, 30_000, 30_000),
    ]
    assert (run.early, run.earliest_ms) == (2, 3_600_000)


def test_one_entry_is_always_taken() -> None:
    large = message({"latency_ms": [1, 2, 3]}).SerializeToString()
    assert decode_run(entries(b"poison", large, large), Limits(events=1, arms=1)).end == "2-0"


def test_an_arm_without_events_is_none() -> None:
    batch = message({"": [1]}, of=V1)
    batch.series.add(flag_key=V2.flag, variant=V2.variant, phase=1, outcome="rating")
    _, events = decode_batch(batch.SerializeToString())
    assert arms_of(events) == {V1}
    nothing: Events = join([])
    assert arms_of(nothing) == set()
