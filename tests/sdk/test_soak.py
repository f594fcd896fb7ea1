"""Memory and threads over a long time, in a process of its own."""

import json
import subprocess
import sys

import pytest

from tests.sdk.fake_server import fake_server, snapshot
from tests.sdk.flags import V2, make_flag, make_snapshot
from tidegate.model import Clause, Operator, Rule

STAFF = Rule("staff", (Clause("team", Operator.IN, ("eval",)),), V2)
FLAGS = [make_flag(f"flag-{number}", rules=(STAFF,)) for number in range(20)]

PROGRAM = """
import gc, json, sys, threading
import tidegate
from pathlib import Path

def megabytes():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

client = tidegate.Client(sys.argv[1], queue_size=20_000)
assert client.wait_ready(20)
keys = [f"flag-{number}" for number in range(20)]
staff, others = {"team": "eval"}, {"team": "sales"}
for number in range(60_000):  # a table of pins grows by steps until a million have come and gone
    for key in keys:
        client.assign(key, f"early-{number}", others, session_id=f"early-{number}")
total, found, number = int(sys.argv[2]), [], 0
for part in range(10):
    for _ in range(total // 200):
        unit = f"user-{number % 1_000_003}"
        attributes = staff if number % 3 else others
        for key in keys:
            session = unit if number % 64 == 0 else None
            choice = client.assign(key, unit, attributes, session_id=session)
        choice.track(latency_ms=1.5)
        number += 1
    found.append(megabytes())
print(json.dumps({
    "megabytes": found,
    "threads": threading.active_count(),
    "garbage": len(gc.garbage),
}))
client.close()
"""


@pytest.mark.parametrize(
    "assigns",
    [1_000_000, pytest.param(50_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])],
)
def test_memory_is_flat(assigns: int) -> None:
    with fake_server(snapshot(make_snapshot(*FLAGS))) as server:
        server.forgets = True
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, server.address, str(assigns)],
            timeout=1_700,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    said = json.loads(done.stdout)
    assert said["threads"] == 3
    assert said["garbage"] == 0
    middle = len(said["megabytes"]) // 2
    early, late = max(said["megabytes"][:middle]), max(said["megabytes"][middle:])
    assert late < early * 1.1 + 10, said["megabytes"]
