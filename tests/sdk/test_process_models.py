"""Clients in the process models that applications use. The server is in this process."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import free_port
from tests.sdk.fake_server import FakeServer, change, fake_server, snapshot
from tests.sdk.flags import make_change, make_flag, make_snapshot
from tests.waiting import until

FIRST = snapshot(make_snapshot(make_flag(shares=(100, 0)), revision=4))
SECOND = change(make_change(5, make_flag(shares=(0, 100), phase=5)))

WEB_APP = """
import json, os, tidegate
client = tidegate.Client(os.environ["TIDEGATE_SERVER"], flush_interval=60)
assert client.wait_ready(20)
client.assign("chat-model", "of the master").track(n=-1)  # is queued when the workers are forked

def app(environ, start_response):
    choice = client.assign("chat-model", "user-1")
    choice.track(n=int(environ["QUERY_STRING"] or 0))
    body = json.dumps({
        "pid": os.getpid(), "variant": choice.variant, "state": client.state
    }).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(scope="module", autouse=True)
def threads_before() -> set[threading.Thread]:
    """The threads that there were before this module: a stack's traffic may go on beside it."""
    return set(threading.enumerate())


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server(FIRST) as server:
        yield server


def outcomes(server: FakeServer) -> Counter[float]:
    return Counter(value for *_, outcome, value in server.events() if outcome)


@contextmanager
def gunicorn(server: FakeServer, tmp_path: Path, *options: str) -> Iterator[str]:
    """Run WEB_APP; afterwards all processes have ended."""
    (tmp_path / "web_app.py").write_text(WEB_APP)
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", address]
    with subprocess.Popen(
        [*command, *options, "--log-level", "warning", "web_app:app"],
        cwd=tmp_path,
        env={**os.environ, "TIDEGATE_SERVER": server.address},
    ) as process:
        try:
            yield f"http://{address}"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def ask(url: str, number: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/?{number}", timeout=10) as reply:
        answer = json.load(reply)
        assert isinstance(answer, dict)
        return answer


@pytest.mark.parametrize("options", [(), ("--worker-class", "gthread", "--threads", "4")])
def test_gunicorn_with_preload(
    server: FakeServer, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with gunicorn(server, tmp_path, *options) as url:

        def answers() -> bool:
            try:
                return bool(ask(url, 0))
            except OSError:
                return False

        until(answers)
        numbers = iter(range(1, 100_000))
        asked: list[int] = []
        replies: list[dict[str, Any]] = []

        def ask_again() -> dict[str, Any]:
            asked.append(next(numbers))
            replies.append(ask(url, asked[-1]))
            return replies[-1]

        ready: set[int] = set()

        def all_ready() -> bool:
            reply = ask_again()
            if reply["state"] == "READY":
                ready.add(reply["pid"])
            return len(ready) == 2

        until(all_ready)
        assert {reply["variant"] for reply in replies} == {"v1"}  # never a default
        server.send_all(SECOND)
        changed: set[int] = set()

        def all_changed() -> bool:
            reply = ask_again()
            if reply["variant"] == "v2":
                changed.add(reply["pid"])
            return len(changed) == 2

        until(all_changed)
    sent = outcomes(server)
    first = sent.pop(0.0)
    assert first >= 1
    assert sent == Counter(map(float, [-1, *asked]))


MULTIPROCESSING = """
import json, multiprocessing, sys, time
import tidegate

client = None

def work(number):
    global client
    inherited = client is not None
    if not inherited:
        client = tidegate.Client(sys.argv[1], flush_interval=60)
        assert client.wait_ready(20)
    choice = client.assign("chat-model", "user-1")
    assert choice.variant == "v1", choice
    choice.track(n=number)
    return inherited

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    client = tidegate.Client(sys.argv[1], flush_interval=60)
    assert client.wait_ready(20)
    client.assign("chat-model", "user-1").track(n=-1)
    processes = [context.Process(target=work, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with context.Pool(2) as pool:
        inherited = pool.map(work, range(4, 12))
        pool.close()
        pool.join()
    assert inherited[0] is (sys.argv[2] == "fork")
    client.assign("chat-model", "user-1").track(n=-2)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(server: FakeServer, tmp_path: Path, method: str) -> None:
    """Children end without atexit; what they recorded arrives all the same."""
    (tmp_path / "program.py").write_text(MULTIPROCESSING)
    subprocess.run(
        [sys.executable, "program.py", server.address, method],
        cwd=tmp_path,
        timeout=90,
        check=True,
    )
    assert outcomes(server) == Counter(map(float, range(-2, 12)))


ASYNCIO = """
import asyncio, sys, time
import tidegate

async def main():
    client = tidegate.Client(sys.argv[1], flush_interval=60)
    assert await client.ready(20)
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    def tell(change):
        if change.revision == 5:  # not the first snapshot, which may still be under way
            loop.call_soon_threadsafe(changed.set)
    client.on_change(tell)
    late = 0.0
    async def tick():
        nonlocal late
        while True:
            began = loop.time()
            await asyncio.sleep(0.01)
            late = max(late, loop.time() - began - 0.01)
    ticking = asyncio.create_task(tick())
    for number in range(1_000):
        client.assign("chat-model", f"user-{number}").track(n=number)
    for _ in range(5):  # a fork and exec within the loop, under uvloop a real fork
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
        assert await child.wait() == 0
    print("go", flush=True)
    await asyncio.wait_for(changed.wait(), 20)
    assert client.assign("chat-model", "user-1").variant == "v2"
    assert client.state is tidegate.State.READY
    ticking.cancel()
    print(late, flush=True)
    await asyncio.to_thread(client.close)

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_event_loops(server: FakeServer, loop: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ASYNCIO, server.address, loop], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        server.send_all(SECOND)
        assert float(process.stdout.readline()) < 1.0
        assert process.wait(30) == 0
    assert outcomes(server) == Counter(map(float, range(1_000)))


SUBPROCESS = """
import os, subprocess, sys, threading, time
import tidegate
client = tidegate.Client(sys.argv[1], flush_interval=0.05)
assert client.wait_ready(20)
stop = threading.Event()
def load():
    while not stop.is_set():
        client.assign("chat-model", "user-1").track(n=1)
        time.sleep(0.001)
threads = [threading.Thread(target=load) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(10):
    subprocess.run([sys.executable, "-S", "-c", "pass"], check=True)
    subprocess.run(["true"], check=True, preexec_fn=lambda: None)  # a real fork, with hooks
print("go", flush=True)
end = time.monotonic() + 20
while client.assign("chat-model", "user-1").revision < 5:
    assert time.monotonic() < end
    time.sleep(0.01)
stop.set()
for thread in threads:
    thread.join()
assert client.state is tidegate.State.READY
client.close()
stats = client.stats()
assert stats.dropped == 0
print(stats.acknowledged, flush=True)
"""


def test_subprocesses_of_a_threaded_parent_freeze_nothing(server: FakeServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUBPROCESS, server.address], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        server.send_all(SECOND)
        acknowledged = int(process.stdout.readline())
        assert process.wait(30) == 0
    assert acknowledged == len(server.events())
    assert server.streams == 1


GRPC_FIRST = """
import sys
import grpc  # as an application that is itself a service may do
import tidegate

client = tidegate.Client(sys.argv[1])
assert not client.wait_ready(3)
print("go", flush=True)
assert client.wait_ready(7), "gRPC did not look for the server"
client.close()
"""


def test_a_server_that_comes_late_is_found_though_grpc_was_imported_first() -> None:
    """Then gRPC connects only while a call waits: 10 to 25 s late, where none does."""
    with fake_server(FIRST) as server:
        server.stop()
        environment = {
            name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"
        }
        with subprocess.Popen(
            [sys.executable, "-c", GRPC_FIRST, server.address],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "go\n"
            server.start()
            assert process.wait(30) == 0


def test_nothing_here_leaves_a_thread_behind(threads_before: set[threading.Thread]) -> None:
    left = set(threading.enumerate()) - threads_before
    ours = [each for each in left if each.name.startswith("tidegate")]
    for each in ours:
        each.join(10)
    assert not [each for each in ours if each.is_alive()]
