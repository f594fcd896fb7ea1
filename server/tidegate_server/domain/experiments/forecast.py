"""What many simulated runs of a plan came to."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from tidegate_server.domain.experiments.courses import Place
from tidegate_server.domain.experiments.records import Decision
from tidegate_server.domain.experiments.state import ENDED, Status
from tidegate_server.domain.experiments.synthetic import Floats, Integers

MINUTE = timedelta(minutes=1)

_NUMBER = re.compile(r"[0-9][0-9.,]*")


@dataclass(frozen=True, slots=True)
class Turn:
    """What decided most often: one of those decisions, and the part of the runs it stands for."""

    decision: Decision
    part: float


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What the runs came to.

    turns: what decided runs of each ending. minutes: mean time in each stage, and outside of
    stages by status, in the order in which they were met.

    Of each run: status, how it ended, or where it was given up; shares, the largest one in ppm that
    the treatment had; exposed, units that met the treatment; ends, minutes until the end (NaN:
    given up).
    """

    status: NDArray[np.object_]
    shares: Integers
    exposed: Floats
    ends: Floats
    turns: Mapping[Status, Turn]
    minutes: Mapping[str, float]

    @property
    def runs(self) -> int:
        """How many there are."""
        return self.status.size

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many runs ended how, the most frequent ending first."""
        return dict(Counter(self.status.tolist()).most_common())

    @property
    def endings(self) -> Mapping[Status, float]:
        """The chance of each ending that occurred."""
        return {status: count / self.runs for status, count in self.counts.items()}


class Tally:
    """What has come of the runs so far."""

    def __init__(self, runs: int) -> None:
        self._status = np.full(runs, Status.DRAFT, object)
        self._shares, self._exposed = np.zeros(runs, np.int64), np.zeros(runs)
        self._ends = np.full(runs, np.nan)
        self._turn, self._won = np.full(runs, -1), np.full(runs, -1)
        self._minutes = Counter[str]()

    def note_time(self, places: Sequence[Place], place: Integers, span: timedelta) -> None:
        """Note that time goes by for runs: `place` tells for each of them in which of `places`."""
        counts = np.bincount(place, minlength=len(places))
        for each, count in zip(places, counts.tolist(), strict=True):
            if each.status not in ENDED:
                self._minutes[each.name] += count * (span / MINUTE)

    def note(
        self,
        runs: Integers,
        places: Sequence[Place],
        place: Integers,
        exposed: Floats,
        passed: timedelta,
    ) -> None:
        """Note where runs are, and how many units have met the treatment, until they have ended."""
        going = np.isnan(self._ends[runs])
        runs, place, exposed = runs[going], place[going], exposed[going]
        self._status[runs] = np.array([each.status for each in places], object)[place]
        ended = np.array([each.status in ENDED for each in places])[place]
        self._ends[runs[ended]] = passed / MINUTE
        self._exposed[runs] = exposed
        shares = np.array([each.share_ppm for each in places])[place]
        self._shares[runs] = np.maximum(self._shares[runs], shares)
        for name, turns in (("turn", self._turn), ("won", self._won)):
            made = np.array([getattr(each, name) for each in places])[place]
            turns[runs[made >= 0]] = made[made >= 0]

    def forecast(self, decisions: Sequence[Decision]) -> Forecast:
        """Return the figures. decisions: those that places name by their indexes."""
        runs, statuses = self._status.size, set(self._status.tolist())
        return Forecast(
            status=self._status,
            shares=self._shares,
            exposed=self._exposed,
            ends=self._ends,
            turns={each: turn for each in statuses if (turn := self._turn_of(each, decisions))},
            minutes={name: total / runs for name, total in self._minutes.items()},
        )

    def _turn_of(self, status: Status, decisions: Sequence[Decision]) -> Turn | None:
        """Return what decided most often in the runs that ended so, apart from mere figures."""
        won = (self._won >= 0) & (self._status == Status.SUCCEEDED)
        made = np.where(won, self._won, self._turn)[self._status == status]
        kinds = Counter(_kind(decisions[index]) for index in made[made >= 0].tolist())
        if not kinds:
            return None
        kind, number = kinds.most_common(1)[0]
        example = next(each for each in decisions if _kind(each) == kind)
        return Turn(example, number / made.size)


def _kind(decision: Decision) -> tuple[str, ...]:
    return decision.action, decision.stage, _NUMBER.sub("#", decision.why)
