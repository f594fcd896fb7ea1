"""One shard's events, folded run by run."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.domain.events import Arm, Offset, Shard
from tidegate_server.ports import AggregateStore, Entry, EventLog
from tidegate_server.worker.fold import fold
from tidegate_server.worker.run import Limits, arms_of, decode_run

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """Entries that follow `start`, in order."""

    start: Offset
    entries: Sequence[Entry]


class ShardFolder:
    """Reads a shard after its offset, and commits aggregates and offset together.

    Offset and aggregates are kept between runs. They are a copy: whatever casts doubt on it
    (another worker's commit, a reply that did not come) is answered by `forget`.

    cached_arms: arms kept in memory, those of the latest runs; >= 1. An arm takes some 100 KB,
    and each of its outcomes a few 100 KB more.
    """

    def __init__(
        self,
        events: EventLog,
        aggregates: AggregateStore,
        shard: Shard,
        *,
        limits: Limits,
        cached_arms: int,
    ) -> None:
        self._events = events
        self._aggregates = aggregates
        self._shard = shard
        self._limits = limits
        self._cached_arms = cached_arms
        self._offset: Offset | None = None
        self._arms: OrderedDict[Arm, ArmAggregate] = OrderedDict()

    async def read(self) -> Reading:
        """Return the next entries; none if a second passes without.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        if self._offset is None:
            self._offset = await self._aggregates.offset(self._shard)
        start = self._offset
        return Reading(start, await self._events.read(self._shard, start, self._limits.entries))

    async def fold(self, reading: Reading) -> bool:
        """Fold the first entries of what was read (at least one); the others come again.

        Returns False, with nothing changed, if they were folded before: by another worker, say.

        Raises:
            StoreUnavailable: it may or may not have happened: call `forget`.
        """
        run = decode_run(reading.entries, self._limits)
        before = await self._load(arms_of(run.events))
        after = fold(run.events, before)
        committed = await self._aggregates.commit(
            self._shard,
            start=reading.start,
            end=run.end,
            before={arm: before[arm] for arm in after},
            after=after,
            rejected=run.rejected,
        )
        if committed:
            self._offset = run.end
            self._keep(after)
        else:
            log.info("another_worker_was_first", shard=self._shard, offset=reading.start)
            self.forget()
        return committed

    def forget(self) -> None:
        """Drop what is kept: the next run begins from the store."""
        self._offset = None
        self._arms.clear()

    async def _load(self, arms: set[Arm]) -> dict[Arm, ArmAggregate]:
        missing = [arm for arm in arms if arm not in self._arms]
        loaded = await asyncio.gather(*(self._aggregates.load(self._shard, arm) for arm in missing))
        known = {arm: self._arms[arm] for arm in arms if arm in self._arms}
        return known | dict(zip(missing, loaded, strict=True))

    def _keep(self, arms: dict[Arm, ArmAggregate]) -> None:
        for arm, aggregate in arms.items():
            self._arms[arm] = aggregate
            self._arms.move_to_end(arm)
        while len(self._arms) > self._cached_arms:
            self._arms.popitem(last=False)
