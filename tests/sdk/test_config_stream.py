import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

import grpc
import pytest

from tests.sdk.fake_server import (
    FakeServer,
    Response,
    change,
    fake_server,
    heartbeat,
    snapshot,
)
from tests.sdk.flags import deletion, make_change, make_flag, make_snapshot
from tidegate.backoff import Backoff
from tidegate.channel import OPTIONS
from tidegate.config_stream import ConfigStream, State
from tidegate.model import Reason
from tidegate.v1 import assignment_service_pb2

QUICK = Backoff(0.005, 0.02)
FIRST = snapshot(make_snapshot(make_flag(), revision=4))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def stream_of(address: str, **more: Any) -> Iterator[ConfigStream]:
    with grpc.insecure_channel(
        address,
        options=[
            *(pair for pair in OPTIONS if "backoff" not in pair[0]),
            ("grpc.initial_reconnect_backoff_ms", 20),
            ("grpc.max_reconnect_backoff_ms", 100),
        ],
    ) as channel:
        stream = ConfigStream(lambda: channel, address, backoff=QUICK, **more)
        stream.start()
        try:
            yield stream
        finally:
            stream.close(10)


def until(holds: Callable[[], bool]) -> None:
    """Wait for what only the stream's own thread knows; it has no bell for that."""
    for _ in range(1_000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to pass")


def phase(stream: ConfigStream, flag: str = "chat-model") -> int:
    return stream.compiled.evaluate(flag, "user-1").phase


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server(FIRST) as server:
        yield server


def test_it_begins_with_a_snapshot(server: FakeServer) -> None:
    with stream_of(server.address, client_name="tests") as stream:
        assert stream.wait_ready(10)
        assert stream.state is State.READY
        assert stream.compiled.revision == 4
        assert phase(stream) == 1
    assert server.client_names == ["tests"]


def test_each_stream_has_an_id_of_its_own(server: FakeServer) -> None:
    with stream_of(server.address):
        server.until(lambda: server.streams == 1)
        server.end_stream()
        server.until(lambda: server.streams == 2)
    assert len(set(server.request_ids)) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in server.request_ids)


def test_until_then_nothing_is_ready() -> None:
    with fake_server() as server, stream_of(server.address) as stream:
        server.until(lambda: server.streams == 1)
        assert not stream.wait_ready(0.05)
        assert stream.state is State.CONNECTING
        assert stream.compiled.evaluate("chat-model", "u").reason is Reason.NOT_READY
        server.send(FIRST)
        assert stream.wait_ready(10)


def test_changes_are_applied_in_order(server: FakeServer) -> None:
    with stream_of(server.address) as stream:
        assert stream.wait_ready(10)
        server.send(change(make_change(5, make_flag(phase=5))))
        server.send(heartbeat(5, 60_000))
        server.send(change(make_change(6, make_flag("other", phase=6))))
        server.send(change(deletion(7, "chat-model")))
        until(lambda: stream.compiled.revision == 7)
        assert phase(stream, "other") == 6
        assert stream.compiled.evaluate("chat-model", "u").reason is Reason.FLAG_NOT_FOUND
    assert server.streams == 1


@pytest.mark.parametrize(
    "wrong",
    [
        change(make_change(6, make_flag(phase=6))),
        change(make_change(4, make_flag(phase=4))),
        heartbeat(5, 60_000),
        Response(change=assignment_service_pb2.FlagChange(revision=5)),
    ],
    ids=["gap", "again", "heartbeat", "nothing"],
)
def test_a_message_out_of_step_begins_anew(server: FakeServer, wrong: Response) -> None:
    with stream_of(server.address) as stream:
        assert stream.wait_ready(10)
        server.first = [snapshot(make_snapshot(make_flag(phase=9), revision=9))]
        server.send(wrong)
        until(lambda: stream.compiled.revision == 9)
        assert phase(stream) == 9
        until(lambda: stream.state is State.READY)
    assert server.streams == 2


def test_a_stream_must_begin_with_a_snapshot() -> None:
    with fake_server(heartbeat(0, 60_000)) as server, stream_of(server.address) as stream:
        server.until(lambda: server.streams == 2)
        server.first = [FIRST]
        assert stream.wait_ready(10)


def test_a_message_of_a_newer_server_is_passed_over(server: FakeServer) -> None:
    with stream_of(server.address) as stream:
        assert stream.wait_ready(10)
        server.send(Response())
        server.send(change(make_change(5, make_flag(phase=5))))
        until(lambda: stream.compiled.revision == 5)
    assert server.streams == 1


def test_a_graceful_end_is_followed_by_a_new_stream(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    with stream_of(server.address) as stream:
        assert stream.wait_ready(10)
        server.first = [snapshot(make_snapshot(revision=8))]
        server.end_stream()
        until(lambda: stream.compiled.revision == 8)
    assert server.streams == 2
    assert not caplog.records


def test_assignments_go_on_while_the_server_is_away(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with stream_of(server.address) as stream:
        assert stream.wait_ready(10)
        server.stop()
        until(lambda: "lost the Tidegate server" in caplog.text)
        assert stream.state is State.STALE
        assert stream.wait_ready(0)
        assert phase(stream) == 1
        server.first = [snapshot(make_snapshot(make_flag(phase=6), revision=6))]
        server.start()
        until(lambda: stream.state is State.READY)
        assert phase(stream) == 6
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert server.address in warnings[0].getMessage()
    assert "revision 4" in warnings[0].getMessage()
    assert "answers again, at revision 6" in caplog.text


def test_a_wrong_address_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with fake_server(FIRST) as server:
        server.stop()
        with stream_of(server.address) as stream:
            until(lambda: bool(caplog.records))
            assert not stream.wait_ready(0.3)  # several attempts
            assert stream.state is State.CONNECTING
            (record,) = caplog.records
            assert record.levelno == logging.ERROR
            for words in (server.address, "UNAVAILABLE", "TIDEGATE_SERVER", "tidegate up"):
                assert words in record.getMessage()
            server.start()
            assert stream.wait_ready(10)


def test_another_kind_of_server_is_named(caplog: pytest.LogCaptureFixture) -> None:
    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    with stream_of(f"127.0.0.1:{port}") as stream:
        until(lambda: bool(caplog.records))
        assert stream.state is State.CONNECTING
    other.stop(None).wait()
    assert "is no Tidegate server" in caplog.text


def test_silence_is_noticed(server: FakeServer) -> None:
    clock = Clock()
    server.first = [FIRST, heartbeat(4, 1_000)]
    with stream_of(server.address, clock=clock) as stream:
        assert stream.wait_ready(10)
        until(lambda: stream._heartbeat_seconds == 1.0 and stream._waiting_since is not None)
        clock.now = 3.0
        stream.check()
        assert server.streams == 1
        server.first = [snapshot(make_snapshot(revision=5))]
        clock.now = 3.1
        stream.check()
        until(lambda: stream.compiled.revision == 5)
    assert server.streams == 2


def test_heartbeats_are_a_sign_of_life(server: FakeServer) -> None:
    clock = Clock()
    server.first = [FIRST, heartbeat(4, 1_000)]
    with stream_of(server.address, clock=clock) as stream:
        until(lambda: stream._heartbeat_seconds == 1.0 and stream._waiting_since == 0.0)
        clock.now = 2.9
        server.send(heartbeat(4, 1_000))
        until(lambda: stream._waiting_since == 2.9)
        clock.now = 5.0
        stream.check()
        server.send(change(make_change(5, make_flag(phase=5))))
        until(lambda: stream.compiled.revision == 5)
    assert server.streams == 1


def test_one_flag_that_cannot_be_read_leaves_the_others(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    message = snapshot(make_snapshot(make_flag(), make_flag("good"), revision=4))
    message.snapshot.flags[0].ClearField("allocation")
    server.first = [message]
    with stream_of(server.address) as stream:
        assert stream.wait_ready(10)
        assert stream.compiled.evaluate("good", "u").reason is Reason.SPLIT
        assert stream.compiled.evaluate("chat-model", "u").reason is Reason.FLAG_NOT_FOUND
    assert "flag 'chat-model': allocation" in caplog.text


def test_a_fault_of_its_own_does_not_end_it(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr("tidegate.config_stream.snapshot_from_message", fail)
        with stream_of(server.address) as stream:
            server.until(lambda: server.streams == 2)
            patch.undo()
            assert stream.wait_ready(10)
    assert "a fault" in caplog.text


def test_closing_wakes_those_who_wait() -> None:
    with fake_server() as server, stream_of(server.address) as stream:
        answers: list[bool] = []
        waiting = threading.Thread(target=lambda: answers.append(stream.wait_ready()))
        waiting.start()
        stream.close(10)
        waiting.join(10)
        assert answers == [False]
        assert stream.state is State.CLOSED


class Pauses(Backoff):
    """Remembers after how many failures in a row it was asked."""

    asked: list[int] = []  # noqa: RUF012 - a test has one

    def pause(self, failures: int, rng: Random | None = None) -> float:
        self.asked.append(failures)
        return 0.005


def test_pauses_grow_until_a_stream_was_steady(server: FakeServer) -> None:
    clock, pauses = Clock(), Pauses()
    with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
        stream = ConfigStream(lambda: channel, server.address, backoff=pauses, clock=clock)
        stream.start()
        for number in (1, 2, 3):
            server.until(lambda number=number: server.streams == number)  # type: ignore[misc]
            until(lambda: stream.state is State.READY)
            if number == 3:
                clock.now = 60.0
            server.end_stream()
            until(lambda number=number: len(pauses.asked) == number)  # type: ignore[misc]
        stream.close(10)
    assert pauses.asked == [1, 2, 1]
