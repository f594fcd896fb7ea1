"""A plan run many times on a synthetic stream, before it is used: how often it ends how.

stream     what comes in: traffic, distributions, faults
synthetic  the sums of events of all runs, drawn interval by interval
glance     what a look finds in all runs
courses    what `decide`, the controller's own, makes of it
forecast   what it came to
"""

from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np

from tidegate_server.domain.experiments.courses import Courses, Sight, sight_of
from tidegate_server.domain.experiments.forecast import Forecast, Tally
from tidegate_server.domain.experiments.glance import Glance, judged_metrics
from tidegate_server.domain.experiments.plan import ZERO, Plan
from tidegate_server.domain.experiments.state import ENDED
from tidegate_server.domain.experiments.stream import Fault, Stream
from tidegate_server.domain.experiments.synthetic import Integers, Synthetic
from tidegate_server.errors import InvalidField

START = datetime(2026, 1, 1, tzinfo=UTC)

_BLOCK = 2_000
"""Runs that are made together: more need more memory, and are no faster."""

_WORTH_DROPPING = 0.9
"""Part of the runs that go on below which it is worth the copy to forget the others."""


def simulate(
    plan: Plan,
    stream: Stream,
    runs: int,
    rng: np.random.Generator,
    longest: timedelta = timedelta(days=3),
    approve_after: timedelta = ZERO,
    start: datetime = START,
) -> Forecast:
    """Run the plan `runs` times, >= 1.

    longest: when a run is given up. approve_after: how long a person takes to approve. start: when
    runs begin, which matters to change windows.

    Raises:
        InvalidField: the stream lacks a metric of the plan.
    """
    for metric in plan.metrics():
        if metric not in stream.metrics:
            raise InvalidField("metrics", f"{metric} is judged by the plan: say what it is like")
    courses, tally = Courses(plan, start, approve_after), Tally(runs)
    for first in range(0, runs, _BLOCK):
        numbers = np.arange(first, min(first + _BLOCK, runs))
        _Block(courses, tally, stream, rng, numbers).go(start, longest)
    return tally.forecast(courses.turns)


class _Block:
    """Runs that go through time together. runs: their numbers; ended ones are dropped by and by."""

    def __init__(
        self,
        courses: Courses,
        tally: Tally,
        stream: Stream,
        rng: np.random.Generator,
        runs: Integers,
    ) -> None:
        self._courses, self._tally, self._stream, self._runs = courses, tally, stream, runs
        self._plan = courses.plan
        self._judged = judged_metrics(self._plan, stream)
        self._data = Synthetic(self._plan, stream, runs.size, rng)
        self._places, self._place = [courses.first], np.zeros(runs.size, np.int64)

    def go(self, start: datetime, longest: timedelta) -> None:
        """Look until all have ended, or time is over."""
        for interval in range(max(1, longest // self._plan.interval)):
            passed = interval * self._plan.interval
            faults = self._stream.faults(passed)
            self._data.arrive(interval, self._of_each("share_ppm"), faults)
            self._tally.note_time(self._places, self._place, self._plan.interval)
            now = start + passed + self._plan.interval
            self._look(interval, now, faults)
            self._tally.note(self._runs, self._places, self._place, self._data.exposed, now - start)
            self._drop_ended()
            if not self._runs.size:
                return

    def _look(self, interval: int, now: datetime, faults: frozenset[Fault]) -> None:
        """Move every run to where this look leads from its state."""
        share, number = self._of_each("share_ppm"), self._of_each("number")
        sight = sight_of(faults)
        glance = Glance(self._plan, self._judged, self._data, share, interval)
        rows = [number.astype(np.int32)[:, None].view(np.uint8)]
        if sight is Sight.CLEAR:
            rows.append(np.packbits(glance.bits(self._of_each("needed")), axis=0).T)
        cases = np.concatenate(rows, axis=1)
        _, first, self._place = np.unique(
            cases.view(f"V{cases.shape[1]}")[:, 0], return_index=True, return_inverse=True
        )
        self._places = [
            self._courses.step(
                sight,
                cases[run].tobytes(),
                int(number[run]),
                partial(glance.findings, run, now),
                now,
            )
            for run in first.tolist()
        ]
        self._data.begin_phases(self._of_each("share_ppm") != share)

    def _of_each(self, name: str) -> Integers:
        return np.array([getattr(each, name) for each in self._places])[self._place]

    def _drop_ended(self) -> None:
        kept = np.array([each.status not in ENDED for each in self._places])[self._place]
        if kept.mean() < _WORTH_DROPPING:
            self._runs, self._place = self._runs[kept], self._place[kept]
            self._data.keep(kept)
