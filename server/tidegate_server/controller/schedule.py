"""When experiments are looked at: each active one at its interval, beside the others."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from tidegate.backoff import Backoff
from tidegate_server.controller.gatekeeper import Gatekeeper
from tidegate_server.controller.lease import Term
from tidegate_server.controller.looks import Looks
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import ACTIVE
from tidegate_server.errors import (
    FencedOff,
    Retriable,
    RevisionConflict,
    VersionConflict,
)
from tidegate_server.ports import Clock
from tidegate_server.services.experiment_feed import ExperimentFeed
from tidegate_server.signals.controller import (
    note_decision,
    note_experiments,
    note_failed_look,
    note_look,
)
from tidegate_server.waiting import pause

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
"""How soon a look is taken after an experiment was started or changed."""

MOST_LOOKS = 16
"""Looks at one moment."""

LOOK_SECONDS = 30.0
"""How long a look may take."""

AGAIN = Backoff(first=0.05, longest=5.0)
"""Pauses after looks that came to nothing."""


@dataclass
class _Followed:
    """What this controller knows of an experiment.

    known: as its own last look left it. failures: in a row. not_before: by the monotonic clock.
    """

    known: Experiment | None = None
    failures: int = 0
    not_before: float = 0.0


class Schedule:
    """Has experiments looked at. monotonic: in seconds."""

    def __init__(
        self,
        experiments: ExperimentFeed,
        looks: Looks,
        gates: Gatekeeper,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._experiments = experiments
        self._looks = looks
        self._gates = gates
        self._clock = clock
        self._monotonic = monotonic
        self._slots = asyncio.Semaphore(MOST_LOOKS)

    async def run(self, term: Term) -> None:
        """Have looks taken until the term is over; those under way are then finished."""
        followed: dict[ExperimentKey, _Followed] = {}
        looking: dict[ExperimentKey, asyncio.Task[None]] = {}
        while not term.over.is_set():
            looking = {key: task for key, task in looking.items() if not task.done()}
            active = self._active()
            known = self._experiments.experiments
            note_experiments({key: each.state for key, each in known.items()})
            self._gates.keep(active.keys())
            followed = {key: followed.get(key) or _Followed() for key in active}
            wait = TICK_SECONDS
            for key in active.keys() - looking.keys():
                due = self._seconds_until_due(active[key], followed[key])
                if due > 0:
                    wait = min(wait, due)
                else:
                    made = self._look(active[key], followed[key], term)
                    looking[key] = asyncio.create_task(made)
            await pause(term.over, wait)
        await asyncio.gather(*looking.values())

    def _active(self) -> dict[ExperimentKey, Experiment]:
        return {
            key: each
            for key, each in self._experiments.experiments.items()
            if each.state.status in ACTIVE
        }

    def _seconds_until_due(self, told: Experiment, followed: _Followed) -> float:
        """Return for how long there is nothing to do; 0 or less: a look is due.

        What somebody else has changed since the last look is looked at at once; and what this
        controller's own look has changed, though it was not told of it yet, at its time.
        """
        held_up = followed.not_before - self._monotonic()
        known = followed.known
        if known is not None and known.version < told.version:
            return held_up
        newest = known or told
        if newest.state.status not in ACTIVE:
            return TICK_SECONDS
        looked = newest.state.looked
        if looked is None:
            return held_up
        due = looked + newest.plan.interval
        return max(held_up, _seconds(due - self._clock.now()))

    async def _look(self, told: Experiment, followed: _Followed, term: Term) -> None:
        """Take one look; whatever goes wrong concerns this experiment alone."""
        key, known = told.plan.key, followed.known
        experiment = known if known is not None and known.version > told.version else told
        async with self._slots:
            if term.over.is_set():
                return
            began = self._monotonic()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    looked = await self._looks.look(experiment, term.fence)
            except FencedOff as error:
                term.end(str(error))
                return
            except (VersionConflict, RevisionConflict) as error:
                log.debug("look_in_vain", experiment=key, cause=str(error))
            except (Retriable, TimeoutError) as error:
                note_failed_look(key, error)
            except Exception as error:
                log.exception("look_broke", experiment=key)
                note_failed_look(key, error)
            else:
                followed.known, followed.failures = looked.experiment, 0
                note_look(looked.seen.verdict, self._monotonic() - began)
                for decision in looked.decisions:
                    note_decision(key, decision, looked.revision)
                return
        followed.known = None
        followed.failures += 1
        followed.not_before = self._monotonic() + AGAIN.pause(followed.failures)


def _seconds(duration: timedelta) -> float:
    return duration.total_seconds()
