"""Units that use a flag and report what they got, until they are told to hold."""

import itertools
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tidegate

UNITS = 400
PAUSE = 0.05
BURST = 20
READY_SECONDS = 30.0


class Traffic:
    """A client at work in a thread. errors: the share of its requests that fail, by variant."""

    def __init__(self, address: str, flag: str) -> None:
        self.errors: dict[str, float] = {}
        self._flag = flag
        self._client = tidegate.Client(address, client_name="shop")
        self._going = threading.Event()
        self._resting = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin."""
        assert self._client.wait_ready(READY_SECONDS)
        self._going.set()
        self._thread.start()

    def hold(self) -> None:
        """Track nothing more until `go_on`; everything tracked so far is acknowledged then."""
        self._going.clear()
        assert self._resting.wait(READY_SECONDS)
        assert self._client.flush(READY_SECONDS)

    def go_on(self) -> None:
        """End what `hold` began."""
        self._resting.clear()
        self._going.set()

    def stop(self) -> None:
        """End."""
        self._end.set()
        self._going.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        draw = random.Random(7)
        new = itertools.count(UNITS)  # so that there is always something new to see
        while not self._end.wait(PAUSE):
            if not self._going.is_set():
                self._resting.set()
                self._going.wait()
            units = (f"unit-{draw.randrange(UNITS)}" for _ in range(BURST))
            for unit in (f"unit-{next(new)}", *units):
                choice = self._client.assign(self._flag, unit)
                failed = draw.random() < self.errors.get(choice.variant, 0.01)
                choice.track(
                    latency_ms=draw.lognormvariate(5, 0.4),
                    error=float(failed),
                    rating=draw.choice((3, 4, 4, 5)),
                    cost_usd=0.002 * draw.random(),
                )


@contextmanager
def traffic(address: str, flag: str) -> Iterator[Traffic]:
    """Run a client for the block."""
    made = Traffic(address, flag)
    made.start()
    try:
        yield made
    finally:
        made.stop()
