"""What a client knows of how fresh its flags are: states, callbacks, files, offline."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from tests.sdk.fake_server import FakeServer, change, fake_server, heartbeat, snapshot
from tests.sdk.flags import deletion, make_change, make_flag, make_snapshot
from tidegate import Client, Reason, State
from tidegate.changes import FlagsChanged
from tidegate.model import FlagKey, Revision
from tidegate.wire import snapshot_to_message

FLAGS = make_snapshot(make_flag(shares=(100, 0)), revision=4)
BOOTSTRAP: dict[str, Any] = json_format.MessageToDict(snapshot_to_message(FLAGS))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server(snapshot(FLAGS)) as server:
        yield server


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    with fake_server() as server:
        return server.address


def changed(revision: int, *flags: str) -> FlagsChanged:
    return FlagsChanged(frozenset(map(FlagKey, flags)), Revision(revision))


def until_ready(client: Client) -> None:
    """Wait until the server itself has answered."""
    end = time.monotonic() + 20
    while client.state is not State.READY:
        assert time.monotonic() < end
        time.sleep(0.01)


def saved(path: Path) -> Path:
    """Wait until a snapshot file is there."""
    for _ in range(1_000):
        if path.exists():
            return path
        threading.Event().wait(0.01)
    raise AssertionError("it was not written")


async def test_ready_blocks_no_thread() -> None:
    with fake_server() as server:
        client = Client(server.address)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        threads = threading.active_count()
        assert not await client.ready(0.2)
        assert ticks > 5
        assert threading.active_count() <= threads + 2
        waiting = [asyncio.create_task(client.ready(20)) for _ in range(3)]
        await asyncio.to_thread(server.until, lambda: server.streams >= 1)
        server.send_all(snapshot(FLAGS))
        assert await asyncio.gather(*waiting) == [True, True, True]
        assert await client.ready()
        ticking.cancel()
        assert not client._link.stream.states  # nothing is left behind
        client.close()
        assert not await client.ready()


async def test_closing_ends_ready(nowhere: str) -> None:
    client = Client(nowhere)
    waiting = asyncio.create_task(client.ready())
    await asyncio.sleep(0)
    await asyncio.to_thread(client.close, 0)
    assert not await waiting


async def test_ready_can_be_cancelled(nowhere: str) -> None:
    client = Client(nowhere)
    waiting = asyncio.create_task(client.ready())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not client._link.stream.states
    client.close(0)


def test_states_are_told_by_another_thread(server: FakeServer) -> None:
    told: queue.Queue[tuple[State, str]] = queue.Queue()
    first, server.first = server.first, []
    client = Client(server.address)
    client.on_state_change(lambda state: told.put((state, threading.current_thread().name)))
    server.until(lambda: server.streams == 1)
    server.send_all(*first)
    assert told.get(timeout=20) == (State.READY, "tidegate-config")
    server.stop()
    assert told.get(timeout=20) == (State.STALE, "tidegate-config")
    server.first = first
    server.start()
    assert told.get(timeout=20) == (State.READY, "tidegate-config")
    client.close()
    assert told.get(timeout=20) == (State.CLOSED, "tidegate-config")
    assert client.state is State.CLOSED
    assert told.empty()


def test_changes_are_told_with_their_flags(server: FakeServer) -> None:
    told: queue.Queue[FlagsChanged] = queue.Queue()
    first, server.first = server.first, []
    with Client(server.address) as client:
        stop = client.on_change(told.put)
        server.until(lambda: server.streams == 1)
        server.send_all(*first)
        assert told.get(timeout=20) == changed(4, "chat-model")
        server.send(change(make_change(5, make_flag("other", phase=5))))
        assert told.get(timeout=20) == changed(5, "other")
        server.send(heartbeat(5, 60_000))
        server.send(change(deletion(6, "chat-model")))
        assert told.get(timeout=20) == changed(6, "chat-model")
        assert client.assign("chat-model", "u").reason is Reason.FLAG_NOT_FOUND
        server.first = [snapshot(make_snapshot(make_flag("third"), revision=9))]
        server.end_stream()
        assert told.get(timeout=20) == changed(9, "other", "third")
        server.end_stream()  # the next stream brings nothing new
        server.until(lambda: server.streams == 3)
        stop()
        server.send_all(change(make_change(10, make_flag("other", phase=10))))
        while client.assign("other", "u").revision < 10:
            time.sleep(0.01)
    assert told.empty()


def test_a_callback_that_fails_harms_nobody(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a fault of the application")

    with Client(server.address) as client:
        client.on_change(fail)
        assert client.wait_ready(20)
        server.send(change(make_change(5, make_flag(phase=5))))
        while client.assign("chat-model", "u").revision < 5:
            time.sleep(0.01)
        assert client.state is State.READY
    assert "a fault of the application" in caplog.text


def test_a_callback_may_close_the_client(server: FakeServer) -> None:
    closed = threading.Event()
    client = Client(server.address)

    def close(_: object) -> None:
        client.close()
        closed.set()

    client.on_change(close)
    server.until(lambda: server.streams == 1)
    server.send(change(make_change(5, make_flag(phase=5))))
    assert closed.wait(20)
    assert client.state is State.CLOSED


def test_the_age_of_the_snapshot(server: FakeServer) -> None:
    with fake_server() as silent, Client(silent.address) as client:
        assert client.snapshot_age is None
    with Client(server.address) as client:
        assert client.wait_ready(20)
        age = client.snapshot_age
        assert age is not None
        assert age < 5
        time.sleep(0.3)
        before = client.snapshot_age
        server.send(heartbeat(4, 60_000))
        until = time.monotonic() + 10
        while (client.snapshot_age or 0.0) >= (before or 0.0):
            assert time.monotonic() < until


def test_the_next_start_goes_on_from_the_file(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "flags"
    with Client(server.address, snapshot_file=path) as client:
        assert client.wait_ready(20)
        saved(path)
        server.send(change(make_change(5, make_flag(shares=(0, 100), phase=5))))
        while client.assign("chat-model", "u").revision < 5:
            time.sleep(0.01)
    server.stop()  # close() has written the last change
    with Client(server.address, snapshot_file=path) as client:
        choice = client.assign("chat-model", "user-1")
        assert (choice.variant, choice.revision) == ("v2", 5)
        assert client.state is State.STALE
        assert client.wait_ready(0)
        assert 0 <= (client.snapshot_age or -1) < 60
        server.first = [snapshot(make_snapshot(make_flag(shares=(100, 0)), revision=6))]
        server.start()
        until_ready(client)
        assert client.assign("chat-model", "user-1").revision == 6


def test_a_broken_snapshot_file_is_replaced(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "flags"
    path.write_text("nonsense")
    with Client(server.address, snapshot_file=path, bootstrap=BOOTSTRAP) as client:
        assert client.assign("chat-model", "u").variant == "v1"
        until_ready(client)
    assert "snapshot_file" in caplog.text
    assert path.read_bytes().startswith(b'{"format": "tidegate-snapshot-1"')


def test_bootstrap_stands_in_until_the_server_answers(server: FakeServer) -> None:
    server.first = [snapshot(make_snapshot(make_flag(shares=(0, 100)), revision=9))]
    server.stop()
    with Client(server.address, bootstrap=BOOTSTRAP) as client:
        choice = client.assign("chat-model", "user-1")
        assert (choice.variant, choice.revision, choice.reason) == ("v1", 4, Reason.SPLIT)
        assert (client.state, client.snapshot_age) == (State.STALE, None)
        server.start()
        until_ready(client)
        assert client.assign("chat-model", "user-1").variant == "v2"


def test_offline_needs_no_server_and_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    before = set(threading.enumerate())
    with Client(offline=True, bootstrap=BOOTSTRAP) as client:
        assert set(threading.enumerate()) == before
        assert client.wait_ready()
        for _ in range(3):
            client.assign("chat-model", "user-1").track(rating=5)
        stats = client.stats()
        assert (stats.queued, stats.acknowledged, stats.dropped) == (0, 0, 4)
        assert client.flush(1)
        assert client.state is State.STALE
    assert not caplog.records


async def test_offline_without_flags_gives_defaults() -> None:
    client = Client(offline=True)
    assert not client.wait_ready()
    assert not await client.ready()
    assert client.assign("chat-model", "u", default=1).reason is Reason.NOT_READY
    client.close()
