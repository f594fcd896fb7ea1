"""Section `pipeline`: events through the whole chain, with every role in a process of its own.

Store, worker, server and the client that this section starts share the machine's processors. A
round ends when everything that was sent is folded.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import redis

from benchmarks.batches_of_events import EVENTS_OF_BATCH, ready_batches
from benchmarks.measure import print_table
from benchmarks.processes import processor_seconds
from tests.e2e.stack import Stack, running_stack
from tidegate_server import embedded_store
from tidegate_server.domain.events import FOLD
from tidegate_server.storage.keys import ShardKeys

ROUNDS = 5
READY, TRACKED, NAIVE = "from ready batches on", "from `track` on", "one XADD an event"
TARGETS = {READY: "≥ 0.5 M", TRACKED: "≥ 0.3 M", NAIVE: ""}
EVENTS = {READY: 2_000_000, TRACKED: 1_000_000, NAIVE: 200_000}
ROLES = ("server", "worker", "store")
SHARDS = 2


def run(*, long: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        stack.apply_flag("chat-model", v1=50, v2=50)
        rows = [row(kind, stack) for kind in (READY, TRACKED, NAIVE)]
    print_table(
        f"events through the whole chain (medians of {ROUNDS} rounds)",
        ("", "events/s", "target", *(f"{role} ns/event" for role in ("client", *ROLES))),
        rows,
    )
    size = len(ready_batches(1)[0])
    print(
        f"{size / EVENTS_OF_BATCH:.1f} bytes an event on the wire and in the store, batches of 500"
    )


def row(kind: str, stack: Stack) -> Sequence[str]:
    """Return the figures of one way to send events."""
    rounds = [measure(kind, stack) for _ in range(ROUNDS + 1)][1:]
    rate = median(EVENTS[kind] / seconds for seconds, _ in rounds)
    computed = [median(each[i] for _, each in rounds) / EVENTS[kind] for i in range(4)]
    return (
        kind,
        f"{rate / 1e6:.2f} M",
        TARGETS[kind],
        *(f"{seconds * 1e9:,.0f}" for seconds in computed),
    )


def measure(kind: str, stack: Stack) -> tuple[float, list[float]]:
    """Send all events of a kind; return the seconds, and what client and roles computed."""
    before = [processor_seconds(stack.pid(role)) for role in ROLES]
    arguments = (kind, stack.address, str(EVENTS[kind]), embedded_store.url(stack.data_dir))
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.event_client", *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        client.stdout.readline()  # it is ready
        begun = time.perf_counter()
        client.stdin.write("go\n")
        client.stdin.flush()
        found = json.loads(client.stdout.readline())
        if kind != NAIVE:
            await_folded(stack)
        seconds = time.perf_counter() - begun
    after = [processor_seconds(stack.pid(role)) for role in ROLES]
    roles = [late - early for early, late in zip(before, after, strict=True)]
    return seconds, [found["computed"], *roles]


def await_folded(stack: Stack) -> None:
    """Return when the worker is done with everything that was written."""
    with redis.Redis.from_url(embedded_store.url(stack.data_dir)) as store:
        for shard in range(SHARDS):
            progress = ShardKeys("prod", shard).progress
            while True:
                written, read = store.hmget(progress, "written", f"read/{FOLD}")
                if written == read:
                    break
                time.sleep(0.002)
