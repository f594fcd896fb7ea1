"""Live aggregates and offsets in Redis: the port AggregateStore."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from tidegate.model import FlagKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.merge import merge_arms
from tidegate_server.analysis.windows import Resolution, Windows, merge_windows
from tidegate_server.domain.events import FOLD, START, Arm, Offset, Shard
from tidegate_server.ports import Fold, arrival_ms
from tidegate_server.storage.aggregate_codec import decode, encode_changes, encode_units
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ShardKeys, arm_member, arm_of_member
from tidegate_server.storage.window_codec import chunk_ms, encode_windows
from tidegate_server.storage.window_store import load_windows, read_windows

KEPT_REJECTED = 100
"""How many entries that could not be read are kept in each shard, the latest."""

RETENTION = timedelta(days=400)
"""How long an arm is kept after its last event, and how long windows of an hour are."""

_ARMS_AT_ONCE = 16
"""Arms that are read in one round trip: some hundred KB each."""

_COMMIT = Script.named("commit_aggregates", "progress")
_Args = list[bytes | str | int]


class RedisAggregateStore:
    """For each arm and shard a hash, a bitmap and the hashes of its windows.

    `aggregate_codec` and `window_codec` lay them out.

    shards: how many, the same as of the event log. retention: how long an arm is kept after its
        last event. Windows of an hour are kept as long, those of a minute for 7 days and those of
        ten seconds for a day, but none for longer than that.
    """

    def __init__(
        self,
        client: Redis,
        environment: str,
        shards: int,
        *,
        retention: timedelta = RETENTION,
    ) -> None:
        self._client = client
        self._keys = [ShardKeys(environment, Shard(index)) for index in range(shards)]
        self._keep_ms = retention // timedelta(milliseconds=1)
        self._window_ms = {
            Resolution.TEN_SECONDS: min(self._keep_ms, 24 * 3_600_000),
            Resolution.MINUTE: min(self._keep_ms, 7 * 24 * 3_600_000),
            Resolution.HOUR: self._keep_ms,
        }

    async def offset(self, shard: Shard) -> Offset:
        """Return the position up to which the shard is folded; START at first.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            stored: Any = await self._client.hget(self._keys[shard].progress, f"offset/{FOLD}")
        return Offset(stored.decode()) if stored else START

    async def load(self, shard: Shard, arm: Arm) -> ArmAggregate:
        """Return one arm's aggregate in one shard; empty if there is none.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        return (await self._load(self._keys[shard], [arm]))[arm]

    async def load_windows(
        self, shard: Shard, wanted: Mapping[tuple[Arm, Resolution], Windows]
    ) -> Mapping[tuple[Arm, Resolution], Windows]:
        """Return what a shard holds of the wanted windows, whose figures do not matter.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        return await load_windows(self._client, self._keys[shard], wanted)

    async def commit(self, shard: Shard, fold: Fold) -> bool:
        """Write what a fold changes in one atomic step, if the offset still is `fold.start`.

        Returns False, with nothing written, if another worker was there first; also if this very
        call was, but had to repeat itself, because the store's first reply was lost. After False
        the truth is in the store: read the offset again.

        Raises:
            StoreUnavailable: no reply arrived: read the offset to see whether it was written.
        """
        own = self._keys[shard]
        keys = [own.progress, own.stream, own.rejected]
        args: _Args = [fold.start, fold.end, fold.size]
        args += [KEPT_REJECTED, len(fold.rejected), len(fold.after), self._keep_ms]
        for each in fold.rejected:
            args += [each.entry.offset, each.reason, each.entry.payload]
        for arm, after in fold.after.items():
            keys += [own.arms(arm.flag), own.arm(arm), own.units(arm)]
            args += [arm_member(arm), *encode_units(fold.before[arm], after)]
            args += _counted(encode_changes(fold.before[arm], after))
        for (arm, resolution), windows in fold.windows.items():
            for chunk, fields in encode_windows(windows).items():
                expires_ms = (chunk + 1) * chunk_ms(resolution) + self._window_ms[resolution]
                if expires_ms > arrival_ms(fold.end):
                    keys.append(own.windows(arm, resolution, chunk))
                    args += [expires_ms, *_counted(fields)]
        return bool(await run(self._client, _COMMIT, keys, args))

    async def read(self, flag: FlagKey, *, first_phase: int = 0) -> Mapping[Arm, ArmAggregate]:
        """Return a flag's arms, merged over the shards. first_phase: none of earlier ones.

        Each shard's part of up to 16 arms is as of one moment, though not all of them of the same.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        merged: dict[Arm, ArmAggregate] = {}
        parts = (self._read(keys, flag, first_phase) for keys in self._keys)
        for part in await asyncio.gather(*parts):
            for arm, aggregate in part.items():
                merged[arm] = merge_arms(merged[arm], aggregate) if arm in merged else aggregate
        return dict(sorted(merged.items()))

    async def read_windows(
        self,
        flag: FlagKey,
        resolution: Resolution,
        start_ms: int,
        end_ms: int,
        *,
        first_phase: int = 0,
    ) -> Mapping[Arm, Windows]:
        """Return the windows of a flag's arms that begin in [start_ms, end_ms), over all shards.

        Arms without such windows are left out, and those of phases before `first_phase`.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        now_ms = await self._now_ms()
        kept_ms = self._window_ms[resolution] + chunk_ms(resolution)
        start_ms, end_ms = max(start_ms, now_ms - kept_ms), min(end_ms, now_ms + 1)
        parts: dict[Arm, list[Windows]] = {}

        async def read(keys: ShardKeys) -> dict[Arm, Windows]:
            arms = await self._arms(keys, flag, first_phase)
            return await read_windows(self._client, keys, arms, resolution, start_ms, end_ms)

        for found in await asyncio.gather(*(read(keys) for keys in self._keys)):
            for arm, windows in found.items():
                parts.setdefault(arm, []).append(windows)
        return {arm: merge_windows(parts[arm]) for arm in sorted(parts)}

    async def _now_ms(self) -> int:
        """Return the store's time, in ms since 1970: no event is later."""
        with store_errors(self._client):
            seconds, microseconds = await self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def _read(
        self, keys: ShardKeys, flag: FlagKey, first_phase: int
    ) -> dict[Arm, ArmAggregate]:
        """Return a shard's arms, but for those that have expired since the latest commit."""
        wanted = await self._arms(keys, flag, first_phase)
        found: dict[Arm, ArmAggregate] = {}
        for first in range(0, len(wanted), _ARMS_AT_ONCE):
            found |= await self._load(keys, wanted[first : first + _ARMS_AT_ONCE])
        return {
            arm: each
            for arm, each in found.items()
            if each.outcomes or each.exposures or each.dropped
        }

    async def _load(self, keys: ShardKeys, arms: Sequence[Arm]) -> dict[Arm, ArmAggregate]:
        """Return the aggregates of these arms (at least one) in a shard, as of one moment."""
        with store_errors(self._client):
            together = self._client.pipeline(transaction=True)
            for arm in arms:
                together.hgetall(keys.arm(arm))
                together.get(keys.units(arm))
            replies: list[Any] = await together.execute()
        fields, units = replies[::2], replies[1::2]
        return {
            arm: decode(rows, bitmap or b"")
            for arm, rows, bitmap in zip(arms, fields, units, strict=True)
        }

    async def _arms(self, keys: ShardKeys, flag: FlagKey, first_phase: int) -> list[Arm]:
        with store_errors(self._client):
            members: Any = await self._client.zrange(keys.arms(flag), 0, -1)
        arms = (arm_of_member(flag, member.decode()) for member in members)
        return [arm for arm in arms if arm.phase >= first_phase]


def _counted(fields: Mapping[str, bytes]) -> _Args:
    """Return fields as arguments of the script: how many follow, and each field and value."""
    return [2 * len(fields), *(part for field in fields.items() for part in field)]
