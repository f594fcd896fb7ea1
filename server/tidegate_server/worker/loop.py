"""The worker: a task for each shard that is its own, until it is told to stop."""

import asyncio
import secrets
import time
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import structlog

from tidegate_server.domain.events import FOLD, Shard, WorkerId
from tidegate_server.errors import StoreFull, StoreUnavailable
from tidegate_server.ports import AggregateStore, Backlog, EventLog, Members
from tidegate_server.signals.backlogs import Backlogs
from tidegate_server.signals.metrics import SHARDS
from tidegate_server.waiting import jittered_pause
from tidegate_server.worker.run import Limits
from tidegate_server.worker.shard import ShardFolder
from tidegate_server.worker.sharing import shards_of

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0
"""How often a worker says that it lives, and asks who else does."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between attempts to reach the store: doubled each time, jittered."""

STAND_BACK = 1.0
"""Seconds, jittered, for which a worker leaves a shard to the one that was first."""

LAG_SECONDS = 10.0
"""Age of the oldest event that is not folded from which on a worker warns, once a minute."""

LAG_LOG_SECONDS = 60.0

T = TypeVar("T")


class Worker:
    """Folds stored events into live aggregates, each batch once.

    Workers share the shards: each serves those that fall to it among the workers that live. That
    saves work, and nothing depends on it: what one worker commits another can't commit again, so
    two may serve one shard while they have not yet heard of each other.

    limits: see Limits. cached_arms: arms kept in memory for each shard; >= 1. backlogs: is kept up
    to date.
    """

    def __init__(
        self,
        events: EventLog,
        aggregates: AggregateStore,
        members: Members,
        *,
        limits: Limits | None = None,
        cached_arms: int = 256,
        backlogs: Backlogs | None = None,
    ) -> None:
        self.name = WorkerId(secrets.token_hex(8))
        self._events = events
        self._aggregates = aggregates
        self._members = members
        self._limits = limits or Limits()
        self._cached_arms = cached_arms
        self._backlogs = backlogs or Backlogs()
        self._next_warning = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until `stop` is set; commits under way are then finished."""
        serving: dict[Shard, asyncio.Event] = {}
        retries = _Retries()
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                try:
                    living = await self._members.beat(self.name)
                    self._backlogs.by_shard = await self._read_backlogs(serving)
                except StoreUnavailable as error:
                    self._backlogs.by_shard = {}
                    await retries.pause(stop, error)
                    continue
                retries.succeeded()
                own = shards_of(self.name, living, self._events.shards)
                for shard in serving.keys() - own:
                    serving.pop(shard).set()
                for shard in own - serving.keys():
                    serving[shard] = asyncio.Event()
                    tasks.create_task(self._serve(shard, serving[shard]))
                SHARDS.set(len(serving))
                await jittered_pause(stop, BEAT_SECONDS)
            for each in serving.values():
                each.set()
        await self._leave()

    async def _read_backlogs(self, shards: Iterable[Shard]) -> Mapping[Shard, Backlog]:
        """Return what waits in shards; warn, once a minute, where it has waited for long."""
        backlogs = {shard: await self._events.backlog(shard) for shard in shards}
        if time.monotonic() >= self._next_warning:
            for shard, backlog in backlogs.items():
                if backlog.age_seconds >= LAG_SECONDS:
                    self._next_warning = time.monotonic() + LAG_LOG_SECONDS
                    log.warning(
                        "fold_lags",
                        shard=shard,
                        seconds=round(backlog.age_seconds, 1),
                        bytes_ahead=backlog.bytes_ahead[FOLD],
                        fix="start more workers",
                    )
        return backlogs

    async def _leave(self) -> None:
        try:
            await self._members.leave(self.name)
        except StoreUnavailable as error:
            log.info("left_in_silence", cause=str(error))

    async def _serve(self, shard: Shard, stop: asyncio.Event) -> None:
        folder = ShardFolder(
            self._events,
            self._aggregates,
            shard,
            limits=self._limits,
            cached_arms=self._cached_arms,
        )
        log.info("shard_taken", shard=shard)
        retries = _Retries(shard=shard)
        while not stop.is_set():
            try:
                first = await self._step(folder, stop)
            except (StoreUnavailable, StoreFull) as error:
                folder.forget()
                await retries.pause(stop, error)
                continue
            retries.succeeded()
            if not first:
                await jittered_pause(stop, STAND_BACK)
        log.info("shard_left", shard=shard)

    async def _step(self, folder: ShardFolder, stop: asyncio.Event) -> bool:
        """Fold one run, if there is any; False if another worker was first."""
        reading = await _unless(stop, folder.read())
        return await folder.fold(reading) if reading and reading.entries else True


class _Retries:
    """Pauses between attempts that fail in a row, the first and the end of which are logged."""

    def __init__(self, **context: object) -> None:
        self._log = log.bind(**context)
        self._failures = 0

    async def pause(self, stop: asyncio.Event, error: Exception) -> None:
        """Note a failure and wait before the next attempt, or until `stop` is set."""
        self._failures += 1
        if self._failures == 1:
            self._log.warning("store_lost", cause=str(error))
        await jittered_pause(stop, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 16)))

    def succeeded(self) -> None:
        """Note that the store answers."""
        if self._failures:
            self._log.info("store_found", failures=self._failures)
            self._failures = 0


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
