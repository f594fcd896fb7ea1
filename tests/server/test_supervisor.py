"""The supervisor over tiny real processes; what they do is awaited, never slept for."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_server import embedded_store
from tidegate_server.supervisor.restarts import RestartPolicy
from tidegate_server.supervisor.role import (
    AllReady,
    Died,
    Role,
    RoleEvent,
    RoleFailed,
    Started,
    Stopped,
    at_once,
    cause_of,
    log_tail,
)
from tidegate_server.supervisor.supervisor import Supervisor
from tidegate_server.supervisor.tether import tethered

FAST = RestartPolicy(first=0.01, longest=0.05, steady=60)
OBEDIENT = "import signal; signal.sigwait([signal.SIGTERM])"
STUBBORN = (
    "import os, signal, sys, threading\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "open(sys.argv[1], 'w').close()\n"
    "threading.Event().wait()"
)


class Recorder:
    """Keeps the events, and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[RoleEvent] = []
        self._queue: asyncio.Queue[RoleEvent] = asyncio.Queue()

    def __call__(self, event: RoleEvent) -> None:
        self.events.append(event)
        self._queue.put_nowait(event)

    async def next(self, kind: type[RoleEvent]) -> RoleEvent:
        while True:
            event = await self._queue.get()
            if isinstance(event, kind):
                return event

    async def started(self) -> Started:
        event = await self.next(Started)
        assert isinstance(event, Started)
        return event


def role(
    name: str,
    folder: Path,
    code: str,
    *arguments: str,
    ready: Callable[[], Awaitable[None]] = at_once,
) -> Role:
    command = (sys.executable, "-c", code, *arguments)
    return Role(name, command, folder / f"{name}.log", dict(os.environ), ready)


async def written(fifo: Path) -> None:
    await asyncio.to_thread(fifo.read_bytes)


@asynccontextmanager
async def supervising(
    *roles: Role, grace: float = 10, policy: RestartPolicy = FAST
) -> AsyncIterator[tuple[Recorder, asyncio.Event]]:
    recorder, stop = Recorder(), asyncio.Event()
    supervisor = Supervisor(roles, policy=policy, grace=grace, notify=recorder)
    task = asyncio.ensure_future(supervisor.run(stop))
    try:
        yield recorder, stop
    finally:
        stop.set()
        await task


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_roles_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    gate = asyncio.Event()
    first = role("store", tmp_path, OBEDIENT, ready=lambda: _wait(gate))
    second = role("server", tmp_path, OBEDIENT)
    async with supervising(first, second) as (recorder, stop):
        await recorder.started()
        assert len(recorder.events) == 1  # the second waits for the first to be ready
        gate.set()
        await recorder.next(AllReady)
        stop.set()
    names = [event.role for event in recorder.events if isinstance(event, Started | Stopped)]
    assert names == ["store", "server", "server", "store"]
    assert not any(event.killed for event in recorder.events if isinstance(event, Stopped))


async def _wait(gate: asyncio.Event) -> None:
    await gate.wait()


async def test_a_killed_role_is_started_again(tmp_path: Path) -> None:
    async with supervising(role("worker", tmp_path, OBEDIENT)) as (recorder, _):
        first = await recorder.started()
        os.kill(first.pid, signal.SIGKILL)
        died = await recorder.next(Died)
        second = await recorder.started()
    assert isinstance(died, Died)
    assert (died.cause, died.failures) == ("killed by SIGKILL", 1)
    assert (second.restarts, second.pid != first.pid) == (1, True)


async def test_a_role_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    up = tmp_path / "up"
    os.mkfifo(up)
    stubborn = role("server", tmp_path, STUBBORN, str(up), ready=lambda: written(up))
    async with supervising(stubborn, grace=0.2) as (recorder, stop):
        started = await recorder.started()
        await recorder.next(AllReady)
        stop.set()
        assert await recorder.next(Stopped) == Stopped("server", killed=True)
    assert not is_alive(started.pid)


async def test_a_start_that_keeps_failing_ends_with_the_log_and_stops_the_others(
    tmp_path: Path,
) -> None:
    never = asyncio.Event()
    broken = role(
        "server",
        tmp_path,
        "raise SystemExit('cannot bind the port')",
        ready=lambda: _wait(never),
    )
    recorder = Recorder()
    supervisor = Supervisor(
        [role("store", tmp_path, OBEDIENT), broken], policy=FAST, grace=10, notify=recorder
    )
    with pytest.raises(RoleFailed) as failure:
        await supervisor.run(asyncio.Event())
    message = str(failure.value)
    assert "the server ended 3 times before it answered (exit code 1)" in message
    assert message.endswith("cannot bind the port\ncannot bind the port\ncannot bind the port")
    assert recorder.events[-1] == Stopped("store", killed=False)


async def test_a_stop_while_starting_does_not_wait_for_readiness(tmp_path: Path) -> None:
    never = asyncio.Event()
    waiting = role("store", tmp_path, OBEDIENT, ready=lambda: _wait(never))
    async with supervising(waiting, role("server", tmp_path, OBEDIENT)) as (recorder, stop):
        await recorder.started()
        stop.set()
    assert [type(event) for event in recorder.events] == [Started, Stopped]


async def test_a_role_that_cannot_be_started_is_reported(tmp_path: Path) -> None:
    nowhere = Role("server", (sys.executable, "-c", ""), tmp_path / "no" / "log", {})
    async with supervising(nowhere) as (recorder, _):
        died = await recorder.next(Died)
    assert isinstance(died, Died)
    assert died.cause.startswith("cannot be started: [Errno 2]")


async def test_a_stop_during_the_delay_is_immediate(tmp_path: Path) -> None:
    slow = RestartPolicy(first=600, longest=600)
    async with supervising(role("worker", tmp_path, ""), policy=slow) as (recorder, _):
        await recorder.next(Died)
    assert not any(isinstance(event, Stopped) for event in recorder.events)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_tethered_process_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, threading\n"
        "from tidegate_server.supervisor.tether import tethered\n"
        f"child = subprocess.Popen(tethered((sys.executable, '-c', {CHILD!r})))\n"
        "threading.Event().wait()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder, holder.stdout as output:
        assert output.readline() == b"ready\n"
        holder.kill()
        assert output.read() == b""  # the pipe ends when the child, its last holder, is gone


CHILD = "import threading; print('ready', flush=True); threading.Event().wait()"


def test_a_tether_does_not_start_what_lost_its_parent() -> None:
    command = list(tethered((sys.executable, "-c", "print('ran')")))
    command[4] = "1"
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


async def test_the_embedded_store_keeps_its_data_through_kill_9(tmp_path: Path) -> None:
    embedded_store.prepare(tmp_path)
    socket = embedded_store.socket_path(tmp_path)
    store = Role(
        "store",
        embedded_store.command(tmp_path),
        tmp_path / "store.log",
        dict(os.environ),
        lambda: embedded_store.wait_ready(socket),
    )
    async with supervising(store) as (recorder, _):
        await recorder.next(AllReady)
        assert await ask(socket, "SET", "kept", "yes") == "+OK"
        started = recorder.events[0]
        assert isinstance(started, Started)
        os.kill(started.pid, signal.SIGKILL)
        assert (await recorder.started()).restarts == 1
        await embedded_store.wait_ready(socket)
        assert await ask(socket, "GET", "kept") == "$3"
    assert not socket.exists()
    assert not await embedded_store.answers(socket)


async def ask(socket: Path, *words: str) -> str:
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(" ".join(words).encode() + b"\r\n")
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer.decode().strip()


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_delay_is_between_half_of_and_the_whole_back_off(failures: int, draw: float) -> None:
    policy = RestartPolicy(first=0.5, longest=8)
    whole = min(8, 0.5 * 2.0 ** min(failures - 1, 1000))
    assert whole / 2 <= policy.delay(failures, draw) <= whole


def test_a_long_life_forgets_earlier_failures() -> None:
    policy = RestartPolicy(steady=30)
    assert policy.failures(5, lasted=29.9) == 6
    assert policy.failures(5, lasted=30) == 1


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-15, "killed by SIGTERM"),
        (-99, "killed by signal 99"),
    ],
)
def test_causes_are_named(code: int, cause: str) -> None:
    assert cause_of(code) == cause


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == ""
    log.write_text("".join(f"line {number} {'x' * 100}\n" for number in range(1000)))
    assert [line.split()[1] for line in log_tail(log).splitlines()] == [
        str(number) for number in range(990, 1000)
    ]
