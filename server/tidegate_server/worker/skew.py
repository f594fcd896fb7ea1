"""Events that came before their time: the clocks of some clients are ahead."""

from collections.abc import Callable

import structlog

from tidegate_server.domain.events import Shard

log = structlog.get_logger(__name__)

TOLERANCE_MS = 60_000
"""How far an event's time may be ahead of its arrival without being called skew."""

LOG_SECONDS = 60.0
"""Pause between two warnings."""


class SkewLog:
    """Warns of one shard's clock skew, at most once a minute. clock: monotonic, in seconds."""

    def __init__(self, shard: Shard, clock: Callable[[], float]) -> None:
        self._shard = shard
        self._clock = clock
        self._next = -float("inf")
        self._events = 0
        self._largest_ms = 0

    def note(self, events: int, largest_ms: int) -> None:
        """Count events that were ahead by more than the tolerance; the most by `largest_ms`."""
        self._events += events
        self._largest_ms = max(self._largest_ms, largest_ms)
        if self._events and self._clock() >= self._next:
            log.warning(
                "clock_skew",
                shard=self._shard,
                events=self._events,
                largest_seconds=self._largest_ms / 1000,
                fix="synchronise the clocks of the applications; the store's clock was used",
            )
            self._next = self._clock() + LOG_SECONDS
            self._events = self._largest_ms = 0
