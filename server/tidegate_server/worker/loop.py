"""The worker: a task for each shard, until it is told to stop."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from tidegate_server.domain.events import Shard
from tidegate_server.errors import StoreFull, StoreUnavailable
from tidegate_server.ports import AggregateStore, EventLog
from tidegate_server.worker.run import Limits
from tidegate_server.worker.shard import ShardFolder

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between attempts to reach the store: doubled each time, jittered."""

STAND_BACK = 1.0
"""Seconds, jittered, for which a worker leaves a shard to the one that was first."""

T = TypeVar("T")


class Worker:
    """Folds stored events into live aggregates, each batch once.

    Any number of workers may run over the same shards: what one commits another can't commit
    again.

    limits: see Limits. cached_arms: arms kept in memory for each shard; >= 1.
    """

    def __init__(
        self,
        events: EventLog,
        aggregates: AggregateStore,
        *,
        limits: Limits | None = None,
        cached_arms: int = 256,
    ) -> None:
        self._events = events
        self._aggregates = aggregates
        self._limits = limits or Limits()
        self._cached_arms = cached_arms

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until `stop` is set; a commit under way is then finished."""
        async with asyncio.TaskGroup() as tasks:
            for shard in self._events.shards:
                tasks.create_task(self._serve(shard, stop))

    async def _serve(self, shard: Shard, stop: asyncio.Event) -> None:
        folder = ShardFolder(
            self._events,
            self._aggregates,
            shard,
            limits=self._limits,
            cached_arms=self._cached_arms,
        )
        failures = 0
        while not stop.is_set():
            try:
                first = await self._step(folder, stop)
            except (StoreUnavailable, StoreFull) as error:
                folder.forget()
                failures += 1
                if failures == 1:
                    log.warning("store_lost", shard=shard, cause=str(error))
                await _pause(stop, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 16)))
                continue
            if failures:
                log.info("store_found", shard=shard, failures=failures)
                failures = 0
            if not first:
                await _pause(stop, STAND_BACK)

    async def _step(self, folder: ShardFolder, stop: asyncio.Event) -> bool:
        """Fold one run, if there is any; False if another worker was first."""
        reading = await _unless(stop, folder.read())
        return await folder.fold(reading) if reading and reading.entries else True


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what `work` returns; None, with `work` cancelled, if `stop` is set before."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, stopping):
            each.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait between half of `seconds` and all of it, or until `stop` is set."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({stopping}, timeout=seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
    stopping.cancel()
