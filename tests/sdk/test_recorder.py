import logging
import math
import threading
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from tests.sdk.flags import make_flag, make_snapshot
from tidegate import Reason
from tidegate import recorder as module
from tidegate.arm import arm_of
from tidegate.evaluation import CompiledSnapshot, Given
from tidegate.event_batch import Event
from tidegate.recorder import Recorder
from tidegate.token import hash_bytes, write_token


def given(*, phase: int = 1, unit_id: Any = "user-1", **flag: Any) -> Given:
    snapshot = make_snapshot(make_flag(phase=phase, **flag))
    return CompiledSnapshot(snapshot).evaluate("chat-model", unit_id).given


TOKEN = write_token(arm_of(given(shares=(100,))), hash_bytes("user-1"))


class Queue:
    """Keeps what it is given; takes nothing while `full`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.full = False

    def add(self, event: Event) -> bool:
        if not self.full:
            self.events.append(event)
        return not self.full


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def recorder(queue: Queue) -> Recorder:
    return Recorder(queue.add)


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (12.5, 12.5),
        (5, 5.0),
        (True, 1.0),
        (False, 0.0),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (Fraction(1, 4), 0.25),
        (-1e100, -1e100),
    ],
)
def test_numbers_are_recorded(
    recorder: Recorder, queue: Queue, value: float, recorded: float
) -> None:
    chat = given()
    for _ in range(2):
        recorder.track(chat, "user-1", "latency_ms", value)
    assert len(queue.events) == 2
    for what, outcome, unit_id, seconds, number in queue.events:
        assert (what, outcome, unit_id) == (chat, "latency_ms", "user-1")
        assert (number, type(number)) == (recorded, float)
        assert seconds > 1.7e9
    assert recorder.refused == 0


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 1.1e100, -(10**101), "5", None, [1], 10**400, 1j, Decimal(1)],
    ids=repr,
)
def test_what_is_no_number_the_server_takes_is_refused_and_logged_once(
    recorder: Recorder, queue: Queue, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    for _ in range(3):
        recorder.track(given(), "user-1", "rating", value)
    assert not queue.events
    assert recorder.refused == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'rating'" in caplog.text
    assert "finite number" in caplog.text


@pytest.mark.parametrize("outcome", ["", "Rating", "a b", "x" * 101, "é", None, 5, ["x"]], ids=repr)
def test_what_is_no_name_is_refused(recorder: Recorder, queue: Queue, outcome: Any) -> None:
    recorder.track(given(), "user-1", outcome, 1.0)
    assert not queue.events
    assert recorder.refused == 1


@pytest.mark.parametrize("outcome", ["rating", "cost_usd", "a.b-c_9", "x" * 100])
def test_what_is_a_name_is_taken(recorder: Recorder, queue: Queue, outcome: str) -> None:
    recorder.track(given(), "user-1", outcome, 1.0)
    assert len(queue.events) == 1


def test_without_a_variant_nothing_is_recorded(
    recorder: Recorder, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = CompiledSnapshot.not_ready().evaluate("chat-model", "user-1").given
    recorder.track(nothing, "user-1", "rating", 5.0)
    assert not queue.events
    assert recorder.refused == 1
    assert "NOT_READY" in caplog.text


class Faulty:
    """Can't even be shown."""

    def __repr__(self) -> str:
        raise ValueError("no repr")

    def __eq__(self, other: object) -> bool:
        raise ValueError("no equality")

    def __hash__(self) -> int:
        raise ValueError("no hash")


def test_what_cannot_be_shown_is_refused(recorder: Recorder, queue: Queue) -> None:
    faulty: Any = Faulty()
    recorder.track(given(), "user-1", faulty, 1.0)
    recorder.track(given(), "user-1", "rating", faulty)
    recorder.track_token(faulty, faulty, faulty)
    recorder.served(given(), "user-1", faulty)
    assert not queue.events
    assert recorder.refused == 4


@settings(deadline=None)
@for_all(st.from_type(object), st.from_type(object))
def test_nothing_is_raised(outcome: Any, value: Any) -> None:
    recorder = Recorder(Queue().add, lambda _: ("v1", "v2", "v3"))
    recorder.track(given(), "user-1", outcome, value)
    recorder.track_token(value, outcome, 1.0)
    recorder.track_token(TOKEN, outcome, value)
    recorder.served(given(), "user-1", value)


def test_a_token_stands_for_its_assignment(recorder: Recorder, queue: Queue) -> None:
    recorder.track_token(TOKEN, "rating", 5)
    ((arm, outcome, unit, seconds, number),) = queue.events
    assert arm == arm_of(given(shares=(100,)))
    assert (outcome, unit, number) == ("rating", hash_bytes("user-1"), 5.0)
    assert seconds > 1.7e9
    recorder.track_token(TOKEN, "Bad Name", 5)
    recorder.track_token(TOKEN, "rating", math.nan)
    assert recorder.refused == 2


def test_a_broken_token_is_refused_and_logged_once(
    recorder: Recorder, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    broken: list[Any] = [TOKEN[:-1], TOKEN[:9] + "_" + TOKEN[10:]]
    for token in broken * 3:
        recorder.track_token(token, "rating", 5)
    assert not queue.events
    assert recorder.refused == 6
    assert len(caplog.records) == 1
    assert "outcome 'rating' is not recorded: its token was damaged" in caplog.text
    recorder.track_token(7, "rating", 5)  # type: ignore[arg-type]
    assert recorder.refused == 7


def test_a_fallback_counts_for_the_assigned_variant(queue: Queue) -> None:
    recorder = Recorder(queue.add, lambda flag: ("v1", "v2") if flag == "chat-model" else None)
    chat = given(shares=(100, 0))
    recorder.served(chat, "user-1", "v2")
    ((what, outcome, unit_id, _, number),) = queue.events
    assert (what, outcome, unit_id, number) == (chat, "served.v2", "user-1", 1.0)


def test_the_assigned_variant_is_no_fallback(queue: Queue) -> None:
    recorder = Recorder(queue.add, lambda _: ("v1", "v2"))
    recorder.served(given(shares=(100, 0)), "user-1", "v1")
    assert not queue.events
    assert recorder.refused == 0


def test_an_unknown_variant_is_no_fallback(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(queue.add, lambda _: ("v2", "v1"))
    for variant in ("v3", "v3", None, ["v1"]):
        recorder.served(given(shares=(100, 0)), "user-1", variant)  # type: ignore[arg-type]
    assert not queue.events
    assert recorder.refused == 4
    assert "flag chat-model has no such variant; give one of ['v1', 'v2']" in caplog.text


def test_a_fallback_of_a_flag_that_is_gone_is_recorded(recorder: Recorder, queue: Queue) -> None:
    recorder.served(given(shares=(100, 0)), "user-1", "v2")
    assert [event[1] for event in queue.events] == ["served.v2"]


def test_without_a_variant_there_is_no_fallback(queue: Queue) -> None:
    recorder = Recorder(queue.add, lambda _: ("v1",))
    nothing = CompiledSnapshot.not_ready().evaluate("chat-model", "user-1").given
    recorder.served(nothing, "user-1", "v1")
    recorder.served(nothing, "user-1", "")
    assert not queue.events
    assert recorder.refused == 2


def test_outside_the_split_is_another_exposure(recorder: Recorder, queue: Queue) -> None:
    chat = given(shares=(100, 0))
    ruled = replace(chat, reason=Reason.RULE, rule="staff")
    for what in (ruled, chat, replace(chat, reason=Reason.PINNED), ruled):
        recorder.expose(what, "user-1")
    assert [event[0] for event in queue.events] == [ruled, chat]


def test_an_exposure_is_recorded_once(recorder: Recorder, queue: Queue) -> None:
    chat, twin = given(shares=(100,)), given(shares=(100,), description="edited")
    for what in (chat, chat, twin):
        recorder.expose(what, "user-1")
    recorder.expose(chat, "user-2")
    assert [(event[1], event[2], event[4]) for event in queue.events] == [
        ("", "user-1", 1.0),
        ("", "user-2", 1.0),
    ]
    assert recorder.seen_by(chat) == recorder.seen_by(twin) == {"user-1", "user-2"}


def test_another_variant_or_phase_is_another_exposure(recorder: Recorder, queue: Queue) -> None:
    for what in (
        given(shares=(100, 0)),
        given(shares=(0, 100)),
        given(shares=(100, 0), phase=2),
    ):
        recorder.expose(what, "user-1")
    assert len(queue.events) == 3


def test_a_dropped_exposure_gets_another_chance(recorder: Recorder, queue: Queue) -> None:
    chat = given()
    queue.full = True
    recorder.expose(chat, "user-1")
    queue.full = False
    recorder.expose(chat, "user-1")
    recorder.expose(chat, "user-1")
    assert len(queue.events) == 1


def test_memory_of_exposures_is_bounded(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SEEN", 100)
    forgotten: list[bool] = []
    recorder = Recorder(queue.add, forgotten=lambda: forgotten.append(True))
    chat = given()
    for number in range(1_050):
        recorder.expose(chat, f"user-{number}")
        assert len(recorder.seen_by(chat)) <= 100
    for phase in range(1, 300):
        recorder.expose(given(phase=phase), "user-1")
        assert len(recorder._seen) <= 100
    assert len(forgotten) >= 10


def test_threads_record_each_exposure_once(recorder: Recorder, queue: Queue) -> None:
    chat = given()
    start = threading.Barrier(4)

    def expose_all() -> None:
        start.wait()
        for number in range(2_000):
            recorder.expose(chat, f"user-{number}")

    threads = [threading.Thread(target=expose_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event[2] for event in queue.events) == sorted(f"user-{i}" for i in range(2_000))
