"""Clients in forked processes. Each test runs a program of its own; the server is in this one."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sdk.fake_server import FakeServer, change, fake_server, snapshot
from tests.sdk.flags import make_change, make_flag, make_snapshot
from tidegate import grpc_start

FIRST = snapshot(make_snapshot(make_flag(shares=(100, 0)), revision=4))

BEGIN = """
import json, os, sys, threading, time
import tidegate

def until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)

def say(**what):
    os.write(1, (json.dumps(what) + "\\n").encode())

def forked(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException as error:
        say(error=repr(error))
        os._exit(1)
    os._exit(0)

def wait_for(pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0

client = tidegate.Client(sys.argv[1], flush_interval=0.05)
assert client.wait_ready(20)
"""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server(FIRST) as server:
        yield server


def run(server: FakeServer, program: str, **env: str) -> list[dict[str, Any]]:
    """Run a program and return what it said."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program, server.address],
        timeout=100,
        check=False,
        capture_output=True,
        text=True,
        env=None if not env else {**__import__("os").environ, **env},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def values(server: FakeServer) -> Counter[float]:
    return Counter(value for *_, outcome, value in server.events() if outcome)


def test_children_of_a_busy_parent_have_a_life_of_their_own(server: FakeServer) -> None:
    said = run(
        server,
        """
stop = threading.Event()
def load():
    number = 0
    while not stop.is_set():
        client.assign("chat-model", f"user-{number % 5000}").track(load=number)
        number += 1
        if number % 100 == 0:
            time.sleep(0.002)
threads = [threading.Thread(target=load, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()

def child(index):
    def work():
        began = time.monotonic()
        choice = client.assign("chat-model", "user-1")
        took = time.monotonic() - began
        assert choice.variant == "v1", choice
        until(lambda: client.state is tidegate.State.READY)
        for number in range(100):
            choice.track(mine=index * 1_000 + number)
        assert client.flush(20)
        stats = client.stats()
        say(took=took, acknowledged=stats.acknowledged, dropped=stats.dropped)
    return work

for round in range(4):
    wait_for([forked(child(round * 2 + each)) for each in range(2)])
stop.set()
for thread in threads:
    thread.join()
assert client.flush(20)
assert client.state is tidegate.State.READY
stats = client.stats()
say(parent=stats.acknowledged, dropped=stats.dropped)
client.close()
""",
    )
    children, parent = said[:-1], said[-1]
    assert len(children) == 8
    for each in children:
        assert each["took"] < 0.2
        assert (each["acknowledged"], each["dropped"]) == (100, 0)
    events = Counter((outcome, value) for *_, outcome, value in server.events())
    mine = {key: count for key, count in events.items() if key[0] == "mine"}
    assert mine == {("mine", float(i * 1_000 + n)): 1 for i in range(8) for n in range(100)}
    assert parent["dropped"] == 0
    assert parent["parent"] == sum(events.values()) - 800


def test_what_the_parent_queued_is_sent_once_and_by_the_parent(server: FakeServer) -> None:
    (child,) = run(
        server,
        """
client.close()
client = tidegate.Client(sys.argv[1], flush_interval=60)
assert client.wait_ready(20)
choice = client.assign("chat-model", "user-1")
for number in range(300):
    choice.track(n=number)
def work():
    assert client.stats() == tidegate.Stats(0, 0, 0, 0)
    choice.track(n=1_000)  # an assignment of the parent is reported by the child
    client.close()
    say(acknowledged=client.stats().acknowledged)
wait_for([forked(work)])
client.close()
""",
    )
    assert child == {"acknowledged": 1}
    assert values(server) == Counter([*map(float, range(300)), 1_000.0])
    assert [outcome for *_, outcome, _ in server.events()].count("") == 1


def test_a_child_follows_changes_and_so_does_its_parent(server: FakeServer) -> None:
    server.until(lambda: server.streams == 0)
    with pytest.MonkeyPatch.context():
        program = """
def work():
    assert client.assign("chat-model", "user-1").revision == 4
    until(lambda: client.state is tidegate.State.READY)
    until(lambda: client.assign("chat-model", "user-1").revision == 5)
    say(child=client.assign("chat-model", "user-1").variant)
    client.close()
pid = forked(work)
until(lambda: client.assign("chat-model", "user-1").revision == 5)
say(parent=client.assign("chat-model", "user-1").variant)
wait_for([pid])
"""
        import threading

        def send() -> None:
            server.until(lambda: server.streams == 2, 30)
            server.send_all(change(make_change(5, make_flag(shares=(0, 100), phase=5))))

        sender = threading.Thread(target=send)
        sender.start()
        said = run(server, program)
        sender.join()
    assert sorted(map(str, said)) == ["{'child': 'v2'}", "{'parent': 'v2'}"]


def test_a_child_that_does_not_use_the_client_pays_nothing(server: FakeServer) -> None:
    (said,) = run(
        server,
        """
def work():
    say(threads=threading.active_count(), state=client.state, age=client.snapshot_age)
    client.close()
wait_for([forked(work)])
""",
    )
    assert said["threads"] == 1
    assert said["state"] == "STALE"
    assert server.streams == 1


def test_children_of_children(server: FakeServer) -> None:
    said = run(
        server,
        """
def grandchild():
    assert client.assign("chat-model", "u").variant == "v1"
    until(lambda: client.state is tidegate.State.READY)
    client.assign("chat-model", "u").track(n=2)
    client.close()
    say(acknowledged=client.stats().acknowledged)
def asleep():
    wait_for([forked(grandchild)])
def awake():
    client.assign("chat-model", "u").track(n=1)
    until(lambda: client.state is tidegate.State.READY)
    wait_for([forked(grandchild)])
    client.close()
    say(acknowledged=client.stats().acknowledged)
wait_for([forked(asleep), forked(awake)])
""",
    )
    assert [each["acknowledged"] >= 1 for each in said] == [True] * 3
    assert values(server) == {1.0: 1, 2.0: 2}


def test_threads_of_a_child_may_use_it_at_once(server: FakeServer) -> None:
    (said,) = run(
        server,
        """
def work():
    barrier = threading.Barrier(8)
    def use(index):
        barrier.wait()
        client.assign("chat-model", f"user-{index}").track(n=index)
    threads = [threading.Thread(target=use, args=(index,)) for index in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    names = sorted(t.name for t in threading.enumerate() if t.name.startswith("tidegate"))
    assert client.flush(20)
    say(names=names, acknowledged=client.stats().acknowledged)
    client.close()
wait_for([forked(work)])
""",
    )
    assert said == {"names": ["tidegate-config", "tidegate-events"], "acknowledged": 16}


def test_a_child_whose_grpc_does_not_work_says_so_and_goes_on(server: FakeServer) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            BEGIN
            + """
def work():
    choice = client.assign("chat-model", "user-1")
    assert choice.variant == "v1"
    choice.track(n=1)
    began = time.monotonic()
    client.close(timeout=0.3)
    assert time.monotonic() - began < 3
    say(dropped=client.stats().dropped)
wait_for([forked(work)])
""",
            server.address,
        ],
        env={**__import__("os").environ, "GRPC_ENABLE_FORK_SUPPORT": "0"},
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"dropped": 2}
    assert "its gRPC does not work after that" in done.stderr


@pytest.mark.parametrize(
    ("release", "environment", "wanted", "works"),
    [
        ("1.85.1", {}, {"GRPC_POLL_STRATEGY": "poll"}, True),
        ("1.85.1", {"GRPC_POLL_STRATEGY": "epoll1"}, {"GRPC_POLL_STRATEGY": "epoll1"}, False),
        (
            "1.78.2",
            {"GRPC_EXPERIMENTS": "some"},
            {
                "GRPC_POLL_STRATEGY": "poll",
                "GRPC_EXPERIMENTS": "some,event_engine_poller_for_python,event_engine_fork",
            },
            True,
        ),
        ("1.85.1", {"GRPC_ENABLE_FORK_SUPPORT": "no"}, {"GRPC_POLL_STRATEGY": "poll"}, False),
    ],
)
def test_how_grpc_is_imported(
    release: str, environment: dict[str, str], wanted: dict[str, str], works: bool
) -> None:
    found = grpc_start.wanted_environment(release, environment, platform="linux")
    assert found == wanted
    after = grpc_start.works_after_fork(release, environment | found, platform="linux")
    assert after is works
    assert not grpc_start.wanted_environment(release, environment, platform="darwin")


def test_importing_leaves_the_environment_as_it_was() -> None:
    program = """
import os
before = dict(os.environ)
import tidegate
assert dict(os.environ) == before
import tidegate.grpc_start
assert tidegate.grpc_start.WORKS_AFTER_FORK
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
