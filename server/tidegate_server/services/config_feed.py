"""The configuration as this process knows it: one copy, kept current, shared by all who ask."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice

import structlog

from tidegate.evaluation import CompiledSnapshot
from tidegate.model import Change, Revision, Snapshot
from tidegate_server.errors import RevisionConflict, StoreUnavailable
from tidegate_server.ports import ConfigStore

log = structlog.get_logger(__name__)

KEPT_CHANGES = 1_000
"""How many changes a slow reader may lag behind before it has to begin from a snapshot."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between attempts to reach the store: doubled each time, jittered."""


class ConfigFeed:
    """Follows the store and tells everyone who waits.

    `run` does the work; until its first load, `ready` is unset and `snapshot` is empty. When the
    store goes away the last snapshot stays, `on_connected(False)` is awaited, and `run` goes on
    trying.
    """

    def __init__(self, store: ConfigStore, on_connected: Callable[[bool], Awaitable[None]]) -> None:
        self._store = store
        self._on_connected = on_connected
        self._compiled = CompiledSnapshot(Snapshot(Revision(0)))
        self._recent: deque[Change] = deque(maxlen=KEPT_CHANGES)
        self._news = asyncio.Event()
        self._deadline: asyncio.TimerHandle | None = None
        self._connected = False
        self.ready = asyncio.Event()
        self.closed = False
        self._ended = False
        self.epoch = 0  # rises with every load: what was known before may be another course

    @property
    def connected(self) -> bool:
        """Whether the store answered the last time."""
        return self._connected

    @property
    def compiled(self) -> CompiledSnapshot:
        """The snapshot in the form that evaluates units."""
        return self._compiled

    @property
    def snapshot(self) -> Snapshot:
        """All flags, at the revision that this process has reached."""
        return self._compiled.snapshot

    async def compiled_at(self, revision: int) -> CompiledSnapshot:
        """Return the configuration as it was at `revision` (>= 0); 0 stands for the present one.

        Raises:
            NotFound: there was no such revision, or what leads back to it is no longer kept.
            StoreUnavailable: the store can't be reached.
        """
        if revision in (0, self.snapshot.revision):
            return self.compiled
        return CompiledSnapshot(await self._store.load_past(Revision(revision)))

    async def run(self) -> None:
        """Follow the store until `end`."""
        pause = FIRST_PAUSE
        while not self._ended:
            try:
                await self._follow()
            except RevisionConflict as conflict:
                log.warning("config_reload", cause=str(conflict))
                pause = FIRST_PAUSE
            except StoreUnavailable as error:
                if self._connected:
                    log.warning("store_lost", cause=str(error))
                    pause = FIRST_PAUSE
                await self._note_connected(connected=False)
            if not self._ended:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(LONGEST_PAUSE, pause * 2)

    async def changes_after(
        self, revision: Revision, epoch: int, seconds: float
    ) -> list[Change] | None:
        """Wait up to `seconds` for changes above `revision`; return them in order.

        One timer serves all who wait, for thousands of timers would delay every change: give the
        same `seconds` in every call, and expect the wait to be shorter.

        Returns None where the changes are not all known, or `epoch` has passed: begin again from
        `snapshot`.
        """
        if self.snapshot.revision == revision and self.epoch == epoch:
            if self._deadline is None:
                self._deadline = asyncio.get_running_loop().call_later(seconds, self._wake)
            await self._news.wait()
        return self.changes_since(revision, epoch)

    def changes_since(self, revision: Revision, epoch: int) -> list[Change] | None:
        """Return what `changes_after` does, without waiting."""
        missing = self.snapshot.revision - revision
        if self.epoch != epoch or not 0 <= missing <= len(self._recent):
            return None
        return list(islice(reversed(self._recent), missing))[::-1]

    async def reach(self, revision: Revision) -> None:
        """Wait until this process knows `revision`."""
        while self.snapshot.revision < revision:
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

    async def _follow(self) -> None:
        snapshot = await self._store.load()
        if snapshot != self.snapshot or not self.ready.is_set():
            self.epoch += 1
            self._recent.clear()
            self._publish(CompiledSnapshot(snapshot))
        self.ready.set()
        await self._note_connected(connected=True)
        async for change in self._store.changes(snapshot.revision):
            if self._ended:
                return
            if change is not None:
                self._recent.append(change)
                self._publish(self._compiled.apply(change))

    def _publish(self, compiled: CompiledSnapshot) -> None:
        self._compiled = compiled
        self._wake()

    def _wake(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _note_connected(self, *, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            await self._on_connected(connected)
