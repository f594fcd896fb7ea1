"""A client in a process of its own, which tracks until its input ends.

    python -m tests.e2e.faults.load ADDRESS FLAG NAME [SPOOL_DIR]

It answers "tell", "hold" and the end of input by a line: everything tracked so far, once the server
has acknowledged all of it. After "hold" it tracks no more until the next line.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import tidegate
from tests.e2e.tally import EXPOSURE, Tally, add, joined

ROOT = Path(__file__).parents[3]
UNITS = 500
BURST = 500
PAUSE = 0.05
MOST_WAITING = 100_000
"""Where the client rests, so that its queue of twice this size drops nothing."""

FLUSH_SECONDS = 60.0
TELL, HOLD, GO_ON, END = "tell\n", "hold\n", "go on\n", ""


def track(client: tidegate.Client, flag: str, name: str, numbers: range, tally: Tally) -> None:
    """Track two outcomes under each number, and count them and the exposures."""
    for number in numbers:
        choice = client.assign(flag, f"{name}-{number % UNITS}")
        choice.track(latency_ms=number % 500, rating=number % 5 + 1)
        add(tally, choice.variant, "latency_ms", number % 500)
        add(tally, choice.variant, "rating", number % 5 + 1)
        if number < UNITS:
            add(tally, choice.variant, EXPOSURE, 1)


def main(address: str, flag: str, name: str, spool: str | None = None) -> None:
    lines, tally, number, line = queue.SimpleQueue[str](), Tally(), 0, GO_ON
    threading.Thread(target=read_lines, args=[lines], daemon=True).start()
    client = tidegate.Client(address, queue_size=2 * MOST_WAITING, spool_dir=spool)
    if not client.wait_ready(FLUSH_SECONDS):
        sys.exit(f"no snapshot from {address}")
    while line != END:
        if client.stats().queued < MOST_WAITING:
            track(client, flag, name, range(number, number + BURST), tally)
            number += BURST
        try:
            line = lines.get(timeout=PAUSE)
        except queue.Empty:
            continue
        answer(client, tally)
        if line == HOLD:
            line = lines.get()
    client.close()


def read_lines(lines: "queue.SimpleQueue[str]") -> None:
    """Pass on standard input, line by line, and its end."""
    while line := sys.stdin.readline():
        lines.put(line)
    lines.put(END)


def answer(client: tidegate.Client, tally: Tally) -> None:
    """Print the tally, once it is acknowledged."""
    if not client.flush(FLUSH_SECONDS) or client.stats().dropped or client.stats().refused:
        sys.exit(f"not everything was acknowledged: {client.stats()}")
    print(json.dumps([[*key, figure] for key, figure in tally.items()]), flush=True)  # noqa: T201


class Load:
    """Such a process, as its parent sees it; it ends with the block."""

    def __init__(self, address: str, flag: str, name: str, spool: Path | None = None) -> None:
        words = [address, flag, name, *([] if spool is None else [str(spool)])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.faults.load", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def acknowledged(self) -> Tally:
        """Return what it has tracked so far, all of which is acknowledged; it goes on."""
        self._say(TELL)
        return self._hear()

    def hold(self) -> Tally:
        """Return the same, and have it track nothing until `go_on`."""
        self._say(HOLD)
        return self._hear()

    def go_on(self) -> None:
        """End what `hold` began."""
        self._say(GO_ON)

    def finish(self) -> Tally:
        """End it; return what it has tracked, all of which is acknowledged."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        tally = self._hear()
        assert self.process.wait(FLUSH_SECONDS) == 0
        return tally

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def _hear(self) -> Tally:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "a client ended before everything was acknowledged"
        return Tally({(key[0], key[1], key[2]): figure for *key, figure in json.loads(line)})


@contextmanager
def load(address: str, flag: str, clients: int, name: str = "client") -> Iterator[Sequence[Load]]:
    """Run clients, whose units begin with a name, until the end of the block."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Load(address, flag, f"{name}-{number}"))
            for number in range(clients)
        ]


def all_acknowledged(clients: Sequence[Load]) -> Tally:
    """Wait until each client has all acknowledged that it has tracked; return it together."""
    return joined([client.acknowledged() for client in clients])


def finish(clients: Sequence[Load]) -> Tally:
    """End clients; return all that was acknowledged."""
    return joined([client.finish() for client in clients])


if __name__ == "__main__":
    main(*sys.argv[1:])
