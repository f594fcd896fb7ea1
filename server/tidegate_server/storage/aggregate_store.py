"""Live aggregates and offsets in Redis: the port AggregateStore."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from tidegate.model import FlagKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.merge import merge_arms
from tidegate_server.domain.events import START, Arm, Offset, Shard
from tidegate_server.ports import Entry
from tidegate_server.storage.aggregate_codec import decode, encode_changes
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ShardKeys, arm_member, arm_of_member

KEPT_REJECTED = 100
"""How many entries that could not be read are kept in each shard, the latest."""

_COMMIT = Script.named("commit_aggregates")


class RedisAggregateStore:
    """One hash per arm and shard; its fields are laid out by `aggregate_codec`.

    shards: how many, the same as of the event log.
    """

    def __init__(self, client: Redis, environment: str, shards: int) -> None:
        self._client = client
        self._keys = [ShardKeys(environment, Shard(index)) for index in range(shards)]

    async def offset(self, shard: Shard) -> Offset:
        """Return the position up to which the shard is folded; START at first.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            stored: Any = await self._client.get(self._keys[shard].offset)
        return Offset(stored.decode()) if stored else START

    async def load(self, shard: Shard, arm: Arm) -> ArmAggregate:
        """Return one arm's aggregate in one shard; empty if there is none.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            fields: Any = await self._client.hgetall(self._keys[shard].arm(arm))
        return decode(fields)

    async def commit(
        self,
        shard: Shard,
        *,
        start: Offset,
        end: Offset,
        before: Mapping[Arm, ArmAggregate],
        after: Mapping[Arm, ArmAggregate],
        rejected: Sequence[Entry] = (),
    ) -> bool:
        """Replace aggregates and offset in one atomic step, if the offset still is `start`.

        Returns False, with nothing written, if another worker was there first; also if this very
        call was, but had to repeat itself, because the store's first reply was lost. After False
        the truth is in the store: read the offset again.

        Raises:
            StoreUnavailable: no reply arrived: read the offset to see whether it was written.
        """
        own = self._keys[shard]
        keys = [own.offset, own.stream, own.rejected]
        args: list[bytes | str | int] = [start, end, _after(end), KEPT_REJECTED, len(rejected)]
        for entry in rejected:
            args += [entry.offset, entry.payload]
        for arm, aggregate in after.items():
            fields = encode_changes(before[arm], aggregate)
            if fields:
                keys += [own.arms(arm.flag), own.arm(arm)]
                args += [arm_member(arm), 2 * len(fields)]
                args += [part for field in fields.items() for part in field]
        return bool(await run(self._client, _COMMIT, keys, args))

    async def read(self, flag: FlagKey) -> Mapping[Arm, ArmAggregate]:
        """Return all arms of a flag, merged over the shards.

        Each shard's part of an arm is as of one moment, though not all of them of the same.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        merged: dict[Arm, ArmAggregate] = {}
        for part in await asyncio.gather(*(self._read(keys, flag) for keys in self._keys)):
            for arm, aggregate in part.items():
                merged[arm] = merge_arms(merged[arm], aggregate) if arm in merged else aggregate
        return dict(sorted(merged.items()))

    async def _read(self, keys: ShardKeys, flag: FlagKey) -> dict[Arm, ArmAggregate]:
        with store_errors(self._client):
            members: Any = await self._client.smembers(keys.arms(flag))
        arms = [arm_of_member(flag, member.decode()) for member in members]
        return {arm: await self.load(keys.shard, arm) for arm in arms}


def _after(offset: Offset) -> str:
    """Return the smallest id above `offset`."""
    time, _, sequence = offset.partition("-")
    return f"{time}-{int(sequence) + 1}"
