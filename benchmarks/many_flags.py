"""Section `flags`: what the number of flags costs, in time and in memory."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import tidegate
from benchmarks.assigning import plain
from benchmarks.clients import client_of
from benchmarks.flag_server import flag_server
from benchmarks.flags import make_snapshot
from benchmarks.floors import Floor
from benchmarks.measure import UNITS, Candidate, Work, print_table, show, time_all
from benchmarks.processes import resident_bytes
from tidegate.model import Reason

COUNTS = (1, 100, 10_000)


def run(*, long: bool) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        addresses = {count: stack.enter_context(flag_server(count)) for count in COUNTS}
        clients = {
            count: stack.enter_context(client_of(address)) for count, address in addresses.items()
        }
        candidates = [*same_flag(clients), *random_flags(clients)]
        show("number of flags", candidates, time_all(candidates))
        print_table(
            "a new process with so many flags, half of them with three rules",
            ("flags", "to first assignment", "memory: flags received", "once all were used"),
            [start_up(count, address) for count, address in addresses.items()],
        )


def same_flag(clients: Mapping[int, tidegate.Client]) -> list[Candidate]:
    """Return what asks for one and the same flag, among more and more others."""
    names = {count: f"assign, one flag of {count:,}" for count in clients}
    return [
        Candidate(names[count], plain(client), names[min(clients)], "1.0")
        for count, client in clients.items()
    ]


def random_flags(clients: Mapping[int, tidegate.Client]) -> list[Candidate]:
    """Return what asks for flags at random, and the floor of that.

    The more flags are in use, the fewer stay in the processor's caches.
    """
    candidates = []
    for count, client in clients.items():
        floor = Floor(make_snapshot(count).flags.values())
        for number in range(count):
            client.assign(f"flag-{number}", "user")
        name = f"floor, a random one of {count:,}"
        candidates += [
            Candidate(name, at_random(floor.assign, count)),
            Candidate(f"assign, a random one of {count:,}", at_random(client.assign, count), name),
        ]
    return candidates


def at_random(assign: Callable[[str, str], object], count: int) -> Work:
    """Return what asks for flags in an order that is the same in every round."""
    rng = random.Random(5)
    keys = [f"flag-{rng.randrange(count)}" for _ in range(UNITS)]

    def work(units: Sequence[str]) -> None:
        for key, unit in zip(keys, units, strict=True):
            assign(key, unit)

    return work


def start_up(count: int, address: str) -> tuple[str, ...]:
    """Measure a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.many_flags", address, str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return (
        f"{count:,}",
        f"{found['seconds'] * 1_000:,.0f} ms",
        per_flag(found["ready"], count),
        per_flag(found["used"], count),
    )


def per_flag(size: int, count: int) -> str:
    """Write an amount of memory; for each flag too, where the client's own has no weight."""
    each = f", {size / count:,.0f} B a flag" if count >= 1_000 else ""
    return f"{size / 2**20:,.1f} MiB{each}"


def main() -> None:
    """Start a client, and write how long it took and how much memory it added."""
    address, count = sys.argv[1], int(sys.argv[2])
    before = resident_bytes()
    begun = time.perf_counter()
    client = tidegate.Client(address, record_exposures=False)
    assert client.wait_ready(60)
    assert client.assign("flag-0", "user").reason is Reason.SPLIT
    seconds = time.perf_counter() - begun
    ready = resident_bytes() - before
    for number in range(count):
        client.assign(f"flag-{number}", "user")
    used = resident_bytes() - before
    client.close()
    json.dump({"seconds": seconds, "ready": ready, "used": used}, sys.stdout)


if __name__ == "__main__":
    main()
