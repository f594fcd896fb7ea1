"""Live aggregates, read and made into findings."""

import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from tidegate.model import Flag
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.ceilings import windows_wanted
from tidegate_server.domain.experiments.findings import findings
from tidegate_server.domain.experiments.look import Findings
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.state import State
from tidegate_server.errors import Retriable
from tidegate_server.ports import AggregateStore, Clock, EventLog

log = structlog.get_logger(__name__)

LAG_SECONDS = 1.0
"""For how long a lag that was read is used: it concerns all experiments alike."""

_FUTURE_MS = 1 << 50


class Evidence:
    """Reads what there is of an experiment's flag.

    clock: whose time the windows have: the store's. monotonic: in seconds.
    """

    def __init__(
        self,
        aggregates: AggregateStore,
        events: EventLog,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._aggregates = aggregates
        self._events = events
        self._clock = clock
        self._monotonic = monotonic
        self._lag = timedelta()
        self._lag_read = -float("inf")

    async def read(self, plan: Plan, state: State, flag: Flag | None) -> Findings | str:
        """Return the findings, or why there are none: an outage, on which nothing is decided."""
        if flag is None:
            return f"there is no flag {plan.flag!r}"
        try:
            return await self._read(plan, state, flag)
        except Retriable as error:
            return str(error)
        except Exception as error:
            log.exception("evidence_failed", experiment=plan.key)
            return f"{type(error).__name__}: {error}"

    async def _read(self, plan: Plan, state: State, flag: Flag) -> Findings | str:
        lag = await self._lag_now()
        if lag > plan.quality.silence:
            return f"the worker is {format_duration(lag)} behind: start more workers"
        folded = self._clock.now() - lag
        first = state.first_phase
        windows = {
            resolution: await self._aggregates.read_windows(
                flag.key, resolution, start_ms, _FUTURE_MS, first_phase=first
            )
            for resolution, start_ms in windows_wanted(plan, folded).items()
        }
        arms = await self._aggregates.read(flag.key, first_phase=first)
        return findings(plan, state, flag, arms, windows, folded)

    async def _lag_now(self) -> timedelta:
        """Return the age of the oldest event that is not folded, in any shard."""
        if self._monotonic() - self._lag_read >= LAG_SECONDS:
            backlogs = [await self._events.backlog(shard) for shard in self._events.shards]
            seconds = max((each.age_seconds for each in backlogs), default=0.0)
            self._lag = timedelta(seconds=round(seconds))
            self._lag_read = self._monotonic()
        return self._lag
