"""Event batches in Redis streams, one per shard: the port EventLog."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from tidegate_server.domain.events import FOLD, BatchId, Offset, Reader, Shard
from tidegate_server.errors import StoreFull
from tidegate_server.ports import Backlog, Entry, entry_bytes
from tidegate_server.storage.client import CONNECTIONS, Script, run, store_errors
from tidegate_server.storage.keys import ShardKeys

BATCH_MEMORY = timedelta(hours=24)
MAX_BYTES = 256 << 20

APPENDS = CONNECTIONS // 2
"""Most appends under way at one time: those that wait for replicas leave connections to others."""

_WAIT_MS = 1_000
_MINUTE_MS = 60_000
_MB = 1 << 20
_FULL_RETRY_SECONDS = 1.0
_APPEND = Script.named("append_batch", "progress")
_JOIN = Script.named("join_reader", "progress")
_ADVANCE = Script.named("advance_reader", "progress")
_LEAVE = Script.named("leave_reader", "progress")
_BACKLOG = Script.named("backlog")


class RedisEventLog:
    """Sharded streams of event batches.

    shards: how many, the same for every process: it decides to which shard a batch belongs.
    batch_memory: how long a batch that comes again is recognised; >= 1 ms.
    max_bytes: what a shard's stream may hold; entries that all readers are done with are released.
        A single entry always finds room. >= 1.
    wait_replicas: how many replicas must have a batch before it counts as stored; >= 0.
    """

    def __init__(
        self,
        client: Redis,
        environment: str,
        shards: int,
        *,
        batch_memory: timedelta = BATCH_MEMORY,
        max_bytes: int = MAX_BYTES,
        wait_replicas: int = 0,
    ) -> None:
        self._client = client
        self._keys = [ShardKeys(environment, Shard(index)) for index in range(shards)]
        self._memory_ms = batch_memory // timedelta(milliseconds=1)
        self._max_bytes = max_bytes
        self._wait_replicas = wait_replicas
        self._appends = asyncio.Semaphore(APPENDS)

    @property
    def shards(self) -> Sequence[Shard]:
        """All shards."""
        return [keys.shard for keys in self._keys]

    async def append(self, batch_id: BatchId, payload: bytes) -> bool:
        """Store a batch and remember its id in one atomic step; False if it was there already.

        False may also mean that this very call stored it and had to repeat itself, because the
        store's first reply was lost.

        Raises:
            StoreFull: the shard's stream is at its limit, or memory is used up; nothing was stored.
            StoreUnavailable: no reply arrived, or too few replicas have it: append again, with the
                same id.
        """
        keys = self._keys[int.from_bytes(batch_id[8:]) % len(self._keys)]
        minute = int.from_bytes(batch_id[:6]) // _MINUTE_MS
        async with self._appends:
            stored = await run(
                self._client,
                _APPEND,
                [keys.stream, keys.progress, keys.batches(minute)],
                [payload, batch_id, self._memory_ms, entry_bytes(payload), self._max_bytes],
                replicas=self._wait_replicas,
            )
        if isinstance(stored, list):
            raise self._full(keys.shard, Reader(stored[0].decode()), stored[1])
        return bool(stored)

    async def join(self, shard: Shard, reader: Reader) -> Offset:
        """Return how far a reader is; a new one begins with the oldest entry held.

        From then on nothing is released before it has advanced.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        keys = self._keys[shard]
        offset: bytes = await run(self._client, _JOIN, [keys.progress], [reader])
        return Offset(offset.decode())

    async def advance(
        self, shard: Shard, reader: Reader, *, start: Offset, entries: Sequence[Entry]
    ) -> bool:
        """Note that a reader is done with `entries` (at least one), which follow `start`.

        Returns False, with nothing changed, if the reader is not at `start`; also if this very call
        moved it on, but had to repeat itself, because the store's first reply was lost.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        keys = self._keys[shard]
        size = sum(entry_bytes(entry.payload) for entry in entries)
        args: list[str | bytes | int] = [reader, start, entries[-1].offset, size]
        return bool(await run(self._client, _ADVANCE, [keys.stream, keys.progress], args))

    async def leave(self, shard: Shard, reader: Reader) -> None:
        """Forget a reader other than FOLD, if it is there: it holds nothing back any more.

        Raises:
            ValueError: FOLD can't leave: it would count everything anew.
            StoreUnavailable: the store can't be reached.
        """
        if reader == FOLD:
            raise ValueError(f"the reader {FOLD!r} can't leave: it would count everything anew")
        keys = self._keys[shard]
        await run(self._client, _LEAVE, [keys.stream, keys.progress], [reader])

    async def read(self, shard: Shard, after: Offset, limit: int) -> Sequence[Entry]:
        """Return up to `limit` entries after `after`, waiting up to a second for the first.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        streams: dict[Any, Any] = {self._keys[shard].stream: after}
        with store_errors(self._client):
            reply: Any = await self._client.xread(streams, count=limit, block=_WAIT_MS)
        return [
            Entry(Offset(entry_id.decode()), fields.get(b"b", b""))
            for _, entries in reply
            for entry_id, fields in entries
        ]

    async def backlog(self, shard: Shard) -> Backlog:
        """Return what a shard's stream holds.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        keys = self._keys[shard]
        now_ms, entries, oldest, fields = await run(
            self._client, _BACKLOG, [keys.stream, keys.progress]
        )
        progress = {
            name.decode(): value for name, value in zip(fields[::2], fields[1::2], strict=True)
        }
        written = int(progress.get("written", 0))
        done = {FOLD: 0} | {
            Reader(name.removeprefix("read/")): int(value)
            for name, value in progress.items()
            if name.startswith("read/")
        }
        age_ms = now_ms - int(oldest.partition(b"-")[0]) if oldest else 0
        return Backlog(
            entries=entries,
            bytes_ahead={reader: written - bytes_done for reader, bytes_done in done.items()},
            age_seconds=max(0, age_ms) / 1_000,
        )

    def _full(self, shard: Shard, slowest: Reader, behind: int) -> StoreFull:
        """Say who does not keep up. behind: bytes that the slowest reader has yet to read."""
        help_ = "start workers" if slowest == FOLD else "start it again, or let it leave"
        return StoreFull(
            f"shard {shard} is at its limit of {self._max_bytes / _MB:,.0f} MB: its slowest "
            f"reader, {slowest!r}, is {behind / _MB:,.1f} MB behind: {help_}, "
            "or raise TIDEGATE_MAX_STREAM_MB",
            retry_after=_FULL_RETRY_SECONDS,
        )
