"""Keeps what may happen with every request from filling the log."""

import logging
import time
from collections.abc import Callable

MOST_KEYS = 1_000
"""How many subjects are remembered; then all are forgotten."""


class LogLimit:
    """Logs one record for each subject (a key) every `seconds`, and leaves out the others."""

    def __init__(
        self,
        log: logging.Logger,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._next: dict[str, float] = {}

    def warning(
        self, key: str, message: str, *args: object, error: BaseException | None = None
    ) -> None:
        """Log a warning about the subject `key`, with the traceback of `error`, if it is its turn.

        What goes wrong in a log handler is the handler's affair: it never reaches the caller.
        """
        now = self._clock()
        if now < self._next.get(key, now):
            return
        if len(self._next) >= MOST_KEYS:
            self._next.clear()
        self._next[key] = now + self._seconds
        self._log.warning(message, *args, exc_info=error)
