"""Event batches in Redis streams, one per shard: the port EventLog."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from tidegate_server.domain.events import BatchId, Offset, Shard
from tidegate_server.errors import StoreFull
from tidegate_server.ports import Entry
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ShardKeys

BATCH_MEMORY = timedelta(hours=24)
MAX_ENTRIES = 100_000

_WAIT_MS = 1_000
_FULL = -1
_APPEND = Script.named("append_batch")


class RedisEventLog:
    """Sharded streams of event batches.

    shards: how many, the same for every process: it decides to which shard a batch belongs.
    batch_memory: how long a batch that comes again is recognised; >= 1 ms.
    max_entries: entries that a shard's stream may hold; folded ones are released. >= 1.
    """

    def __init__(
        self,
        client: Redis,
        environment: str,
        shards: int,
        *,
        batch_memory: timedelta = BATCH_MEMORY,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._client = client
        self._keys = [ShardKeys(environment, Shard(index)) for index in range(shards)]
        self._memory_ms = batch_memory // timedelta(milliseconds=1)
        self._max_entries = max_entries

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
            StoreUnavailable: no reply arrived: append again, with the same id.
        """
        keys = self._keys[int.from_bytes(batch_id[:8]) % len(self._keys)]
        stored = await run(
            self._client,
            _APPEND,
            [keys.stream, keys.batch(batch_id)],
            [payload, self._memory_ms, self._max_entries],
        )
        if stored == _FULL:
            raise StoreFull(
                f"shard {keys.shard} holds {self._max_entries:,} batches that are not folded yet: "
                "start workers if they lag, or raise TIDEGATE_MAX_STREAM_ENTRIES"
            )
        return bool(stored)

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
