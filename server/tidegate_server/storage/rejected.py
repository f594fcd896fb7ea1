"""Batches that could not be folded: set aside by the worker, kept for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from tidegate_server.domain.events import Shard
from tidegate_server.errors import NotFound
from tidegate_server.ports import entry_bytes
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ShardKeys

_RETRY = Script.named("retry_rejected")


@dataclass(frozen=True, slots=True)
class RejectedBatch:
    """A batch that was set aside: its name, when that was, why, and its size in bytes.

    name: `<shard>/<id>`, as `RejectedBatches.retry` and `discard` take it.
    """

    name: str
    time: datetime
    reason: str
    size: int


class RejectedBatches:
    """The batches that were set aside in one environment, the latest of each shard."""

    def __init__(self, client: Redis, environment: str, shards: int) -> None:
        self._client = client
        self._keys = [ShardKeys(environment, Shard(index)) for index in range(shards)]

    async def count(self, shard: Shard) -> int:
        """Return how many there are in a shard.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            return int(await self._client.xlen(self._keys[shard].rejected))

    async def all(self) -> Sequence[RejectedBatch]:
        """Return all, the oldest of each shard first.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        found = []
        with store_errors(self._client):
            for keys in self._keys:
                entries: Any = await self._client.xrange(keys.rejected)
                found += [
                    _batch(keys.shard, entry_id.decode(), fields) for entry_id, fields in entries
                ]
        return found

    async def retry(self, name: str) -> None:
        """Put a batch back at the end of its shard's stream: it will be folded, or rejected again.

        Raises:
            NotFound: there is no such batch.
            StoreUnavailable: the store can't be reached.
        """
        keys, entry_id = self._find(name)
        args: list[str | bytes | int] = [entry_id, entry_bytes(b"")]
        if not await run(self._client, _RETRY, [keys.stream, keys.progress, keys.rejected], args):
            raise NotFound(f"there is no rejected batch {name!r}")

    async def discard(self, name: str) -> None:
        """Delete a batch for good.

        Raises:
            NotFound: there is no such batch.
            StoreUnavailable: the store can't be reached.
        """
        keys, entry_id = self._find(name)
        with store_errors(self._client):
            if not await self._client.xdel(keys.rejected, entry_id):
                raise NotFound(f"there is no rejected batch {name!r}")

    def _find(self, name: str) -> tuple[ShardKeys, str]:
        shard, _, entry_id = name.partition("/")
        time, _, sequence = entry_id.partition("-")
        if not (shard.isdecimal() and time.isdecimal() and sequence.isdecimal()):
            raise NotFound(f"{name!r} is no rejected batch's name, which looks like 0/1760000000-0")
        if int(shard) >= len(self._keys):
            raise NotFound(f"there is no shard {shard}: there are {len(self._keys)}")
        return self._keys[int(shard)], entry_id


def _batch(shard: Shard, entry_id: str, fields: dict[bytes, bytes]) -> RejectedBatch:
    return RejectedBatch(
        name=f"{shard}/{entry_id}",
        time=datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1_000, UTC),
        reason=fields.get(b"e", b"").decode(errors="replace"),
        size=len(fields.get(b"b", b"")),
    )
