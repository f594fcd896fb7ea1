"""One shard's events, folded run by run."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.windows import merge_windows
from tidegate_server.domain.events import Arm, Events, Offset, Shard
from tidegate_server.errors import TidegateServerError
from tidegate_server.ports import AggregateStore, Entry, EventLog, Fold
from tidegate_server.signals.metrics import (
    EARLY_EVENTS,
    FOLD_CONFLICTS,
    FOLD_SECONDS,
    FOLDED_BATCHES,
    FOLDED_EVENTS,
    SET_ASIDE_BATCHES,
)
from tidegate_server.worker.fold import fold, fold_windows
from tidegate_server.worker.run import Limits, Run, arms_of, decode_run
from tidegate_server.worker.skew import SkewLog

log = structlog.get_logger(__name__)

CACHE_SECONDS = 3_600.0
"""How long an arm is kept in memory after its last run: far less than the store keeps it."""


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
    and each of its outcomes a few 100 KB more. clock: monotonic, in seconds.
    """

    def __init__(
        self,
        events: EventLog,
        aggregates: AggregateStore,
        shard: Shard,
        *,
        limits: Limits,
        cached_arms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = events
        self._aggregates = aggregates
        self._shard = shard
        self._limits = limits
        self._cached_arms = cached_arms
        self._offset: Offset | None = None
        self._clock = clock
        self._committed = -float("inf")
        self._skew = SkewLog(shard, clock)
        self._arms: OrderedDict[Arm, tuple[ArmAggregate, float]] = OrderedDict()

    async def read(self) -> Reading:
        """Return the next entries; none if a second passes without.

        While few entries come, runs are `linger` seconds apart.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        if self._offset is None:
            self._offset = await self._aggregates.offset(self._shard)
        start, most = self._offset, self._limits.entries
        entries = await self._events.read(self._shard, start, most)
        pause = self._committed + self._limits.linger - self._clock()
        if 0 < len(entries) < most and pause > 0:
            await asyncio.sleep(pause)
            entries = await self._events.read(self._shard, start, most)
        return Reading(start, entries)

    async def fold(self, reading: Reading) -> bool:
        """Fold the first entries of what was read (at least one); the others come again.

        Returns False, with nothing changed, if they were folded before: by another worker, say. An
        entry that makes folding fail is set aside, and does not hold up the others.

        Raises:
            StoreUnavailable: it may or may not have happened: call `forget`.
        """
        began = self._clock()
        run = decode_run(reading.entries, self._limits)
        try:
            change = await self._change(reading.start, run)
        except TidegateServerError:
            raise
        except Exception:
            run = decode_run(reading.entries, self._limits, probe=_fold_alone)
            if not run.rejected:  # no entry is to blame by itself
                raise
            change = await self._change(reading.start, run)
        committed = await self._aggregates.commit(self._shard, change)
        if committed:
            self._offset = run.end
            self._committed = self._clock()
            self._keep(change.after)
            self._skew.note(run.early, run.earliest_ms)
            _count(run, self._committed - began)
        else:
            FOLD_CONFLICTS.inc()
            log.info("another_worker_was_first", shard=self._shard, offset=reading.start)
            self.forget()
        return committed

    def forget(self) -> None:
        """Drop what is kept: the next run begins from the store."""
        self._offset = None
        self._arms.clear()

    async def _change(self, start: Offset, run: Run) -> Fold:
        """Return what a run makes of the aggregates and windows that it touches."""
        added = fold_windows(run.events)
        before, windows = await asyncio.gather(
            self._load(arms_of(run.events)), self._aggregates.load_windows(self._shard, added)
        )
        return Fold(
            start=start,
            end=run.end,
            size=run.size,
            before=before,
            after=fold(run.events, before),
            windows={each: merge_windows([windows[each], added[each]]) for each in added},
            rejected=run.rejected,
        )

    async def _load(self, arms: set[Arm]) -> dict[Arm, ArmAggregate]:
        oldest = self._clock() - CACHE_SECONDS
        kept = {arm: self._arms[arm] for arm in arms & self._arms.keys()}
        known = {arm: aggregate for arm, (aggregate, at) in kept.items() if at > oldest}
        missing = [arm for arm in arms if arm not in known]
        loaded = await asyncio.gather(*(self._aggregates.load(self._shard, arm) for arm in missing))
        return known | dict(zip(missing, loaded, strict=True))

    def _keep(self, arms: Mapping[Arm, ArmAggregate]) -> None:
        for arm, aggregate in arms.items():
            self._arms[arm] = aggregate, self._clock()
            self._arms.move_to_end(arm)
        while len(self._arms) > self._cached_arms:
            self._arms.popitem(last=False)


def _count(run: Run, seconds: float) -> None:
    FOLDED_BATCHES.inc(run.entries - len(run.rejected))
    FOLDED_EVENTS.inc(len(run.events.value))
    SET_ASIDE_BATCHES.inc(len(run.rejected))
    EARLY_EVENTS.inc(run.early)
    FOLD_SECONDS.observe(seconds)


def _fold_alone(events: Events) -> None:
    """Fold one entry's events by themselves, to see whether that fails."""
    fold_windows(events)
    fold(events, {})
