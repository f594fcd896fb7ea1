"""Replicas as this process knows them: one follower of the store, shared by all who watch."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

from tidegate_server.domain.replicas.hearing import Hearing
from tidegate_server.domain.replicas.replica import Fleet, Policy
from tidegate_server.ports import ReplicaStore
from tidegate_server.services.feed import Feed

_NOTHING = Fleet(datetime.min.replace(tzinfo=UTC), {})


class ReplicaFeed(Feed[None]):
    """Follows an environment's replicas while somebody watches; its position counts the times.

    All are read anew in the time of a heartbeat, with their loads, though none has changed.
    """

    def __init__(self, store: ReplicaStore, policy: Policy) -> None:
        super().__init__()
        self._store = store
        self._seconds = policy.heartbeat.total_seconds()
        self._hearing = Hearing(policy)
        self._position = 0
        self._watchers = 0
        self._watched = asyncio.Event()
        self.fleet = _NOTHING

    @property
    def position(self) -> int:
        """How often the replicas were read."""
        return self._position

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have the replicas followed during the block."""
        self._watchers += 1
        self._watched.set()
        try:
            yield
        finally:
            self._watchers -= 1

    async def follow(self) -> None:
        """Read the replicas whenever somebody watches; once before, to know who lived then."""
        self._hearing.judge(await self._store.load())
        while True:
            await self._watched.wait()
            async with aclosing(self._store.follow(self._seconds)) as fleets:
                async for fleet in fleets:
                    if self.ended:
                        return
                    if fleet is not None:
                        await self._take(fleet)
                    if not self._watchers:
                        break
            self._watched.clear()
            self.ready.clear()

    async def note_connected(self, *, connected: bool) -> None:
        """While the store is away, replicas can't be heard, and nobody is told of them."""
        if not connected:
            self._hearing.interrupt()
            self.ready.clear()

    async def _take(self, fleet: Fleet) -> None:
        self.fleet = self._hearing.judge(fleet)
        self._position += 1
        await self.load_done(anew=False)
        self.publish(None)

    def end(self) -> None:
        """Let `run` end."""
        super().end()
        self._watched.set()
