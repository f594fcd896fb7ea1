"""Keeps what may happen with every call from filling the log."""

from collections.abc import Callable
from time import monotonic

MOST_LINES = 10


class LineLimit:
    """Lets MOST_LINES lines a second through for each kind, of which there are few.

    clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seconds: dict[str, tuple[int, int]] = {}  # the second, and lines wanted in it

    def left_out(self, kind: str) -> int | None:
        """Return None if a line is to be left out; else how many were since the last one."""
        now = int(self._clock())
        second, wanted = self._seconds.get(kind, (now, 0))
        if second != now:
            self._seconds[kind] = now, 1
            return max(0, wanted - MOST_LINES)
        self._seconds[kind] = now, wanted + 1
        return 0 if wanted < MOST_LINES else None
