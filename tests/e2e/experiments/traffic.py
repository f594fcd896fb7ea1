"""Users of many flags, in a process of their own, until its input ends.

    python -m tests.e2e.experiments.traffic ADDRESS UNITS_PER_SECOND FLAG…

Each unit comes once to each flag. What happens to it follows from the value of its variant:
`error`, the chance that its request fails, `rating`, the mean of its rating, and `latency_ms`.
"""

import queue
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tidegate
from tests.e2e.faults.load import read_lines

ROOT = Path(__file__).parents[3]
TURN = 0.1
READY_SECONDS = 60.0


def main(address: str, units_per_second: str, *flags: str) -> None:
    lines = queue.SimpleQueue[str]()
    threading.Thread(target=read_lines, args=[lines], daemon=True).start()
    rng, unit, due = random.Random(1), 0, 0.0
    client = tidegate.Client(address, queue_size=1_000_000)
    if not client.wait_ready(READY_SECONDS):
        sys.exit(f"no snapshot from {address}")
    while lines.empty():
        due += float(units_per_second) * TURN
        while due >= 1:
            due, unit = due - 1, unit + 1
            for flag in flags:
                serve(client, flag, f"unit-{unit}", rng)
        try:
            lines.get(timeout=TURN)
            break
        except queue.Empty:
            continue
    client.close()


def serve(client: tidegate.Client, flag: str, unit: str, rng: random.Random) -> None:
    """Serve one request of a unit."""
    choice = client.assign(flag, unit)
    if not choice.variant:
        return
    choice.track(
        error=float(rng.random() < choice.value.get("error", 0.0)),
        rating=choice.value.get("rating", 4.0) + rng.gauss(0, 0.5),
        latency_ms=choice.value.get("latency_ms", 100.0) * rng.lognormvariate(0, 0.5),
    )


@contextmanager
def traffic(address: str, units_per_second: float, flags: Sequence[str]) -> Iterator[None]:
    """Run such a process until the end of the block; it must end well."""
    words = [sys.executable, "-m", "tests.e2e.experiments.traffic", address]
    with subprocess.Popen(
        [*words, str(units_per_second), *flags], stdin=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield
            assert process.poll() is None, "the traffic ended by itself"
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(READY_SECONDS) == 0
        finally:
            process.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])
