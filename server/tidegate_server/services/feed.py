"""What this process knows of something in the store: one copy, kept current, shared by all."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections import deque
from itertools import islice
from typing import Generic, TypeVar

import structlog

from tidegate_server.errors import RevisionConflict, StoreUnavailable

log = structlog.get_logger(__name__)

KEPT_CHANGES = 1_000
"""How many changes a slow reader may lag behind before it has to begin anew."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between attempts to reach the store: doubled each time, jittered."""

T = TypeVar("T")


class Feed(ABC, Generic[T]):
    """Follows the store and tells everyone who waits.

    `run` does the work; until its first load, `ready` is unset. When the store goes away what was
    known stays, and `run` goes on trying.
    """

    def __init__(self) -> None:
        self._recent: deque[T] = deque(maxlen=KEPT_CHANGES)
        self._news = asyncio.Event()
        self._deadline: asyncio.TimerHandle | None = None
        self._connected = False
        self.ready = asyncio.Event()
        self.closed = False
        self._ended = False
        self.epoch = 0  # rises with every load: what was known before may be another course

    @property
    @abstractmethod
    def position(self) -> int:
        """The number of the last change that this process knows; in an epoch it rises by one."""

    @abstractmethod
    async def follow(self) -> None:
        """Load, say so by `load_done`, and `publish` each change until `ended`.

        Raises:
            RevisionConflict, StoreUnavailable: follow again.
        """

    async def note_connected(self, *, connected: bool) -> None:
        """Note that the store can, or can't, be reached; called when that changes."""

    async def run(self) -> None:
        """Follow the store until `end`."""
        pause = FIRST_PAUSE
        while not self._ended:
            try:
                await self.follow()
            except RevisionConflict as conflict:
                log.warning("feed_reload", feed=type(self).__name__, cause=str(conflict))
                pause = FIRST_PAUSE
            except StoreUnavailable as error:
                if self._connected:
                    log.warning("store_lost", feed=type(self).__name__, cause=str(error))
                    pause = FIRST_PAUSE
                await self._connect(connected=False)
            if not self._ended:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(LONGEST_PAUSE, pause * 2)

    @property
    def ended(self) -> bool:
        """Whether `run` is to end."""
        return self._ended

    async def load_done(self, *, anew: bool) -> None:
        """Note that all was loaded; `anew`: it may be another course than what was known."""
        if anew or not self.ready.is_set():
            self.epoch += 1
            self._recent.clear()
            self._wake()
        self.ready.set()
        await self._connect(connected=True)

    def publish(self, change: T) -> None:
        """Tell a change, which was made to what this process knows, to those who wait."""
        self._recent.append(change)
        self._wake()

    async def changes_after(self, position: int, epoch: int, seconds: float) -> list[T] | None:
        """Wait up to `seconds` for changes above `position`; return them in order.

        One timer serves all who wait, for thousands of timers would delay every change: give the
        same `seconds` in every call, and expect the wait to be shorter.

        Returns None where the changes are not all known, or `epoch` has passed: begin again from
        what this process knows.
        """
        if self.position == position and self.epoch == epoch:
            if self._deadline is None:
                self._deadline = asyncio.get_running_loop().call_later(seconds, self._wake)
            await self._news.wait()
        return self.changes_since(position, epoch)

    def changes_since(self, position: int, epoch: int) -> list[T] | None:
        """Return what `changes_after` does, without waiting."""
        missing = self.position - position
        if self.epoch != epoch or not 0 <= missing <= len(self._recent):
            return None
        return list(islice(reversed(self._recent), missing))[::-1]

    async def reach(self, position: int) -> None:
        """Wait until this process knows the change of this number."""
        while self.position < position:
            await self._news.wait()

    def close(self) -> None:
        """Let watchers end: the process is about to stop. Changes are still followed."""
        self.closed = True
        self._wake()

    def end(self) -> None:
        """Let `run` end, within the store's idle second at the latest.

        Cancelling its task is not enough: redis-py sends through asyncio.wait_for, which in Python
        3.11 can lose a cancellation.
        """
        self._ended = True

    def _wake(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _connect(self, *, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            await self.note_connected(connected=connected)
