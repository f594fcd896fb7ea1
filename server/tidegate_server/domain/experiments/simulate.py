"""A plan run many times on a synthetic stream, before it is used: how often it ends how.

The very `decide` of the controller is called; only the data are drawn (`synthetic`).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from tidegate.model import PPM
from tidegate_server.domain.experiments.commands import Command, Request, command
from tidegate_server.domain.experiments.decide import decide
from tidegate_server.domain.experiments.look import FlagSeen, Look
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Step
from tidegate_server.domain.experiments.state import ENDED, State, Status, stage_of
from tidegate_server.domain.experiments.stream import Fault, Stream
from tidegate_server.domain.experiments.synthetic import Synthetic
from tidegate_server.errors import InvalidField

START = datetime(2026, 1, 1, tzinfo=UTC)
PERSON = "simulation"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What many runs came to.

    endings: chance of each status at the end, those that occurred. shares: for each run, the
    largest share in ppm that the treatment had. exposed: mean number of units that met the
    treatment. minutes: mean time in each stage, and outside of stages by status.
    """

    runs: int
    endings: Mapping[Status, float]
    shares: tuple[int, ...]
    exposed: float
    minutes: Mapping[str, float]


def simulate(
    plan: Plan,
    stream: Stream,
    runs: int,
    rng: np.random.Generator,
    longest: timedelta = timedelta(days=14),
) -> Forecast:
    """Run the plan `runs` times; approvals are given at once. longest: when a run is given up.

    Raises:
        InvalidField: the stream lacks a metric of the plan.
    """
    for metric in plan.metrics():
        if metric not in stream.metrics:
            raise InvalidField("metrics", f"{metric} is judged by the plan: say what it is like")
    endings: Counter[Status] = Counter()
    minutes: defaultdict[str, float] = defaultdict(float)
    shares, exposed = [], 0.0
    for _ in range(runs):
        run = _Run(plan, stream, rng)
        run.go(longest)
        endings[run.state.status] += 1
        shares.append(run.largest)
        exposed += run.exposed
        for name, spent in run.minutes.items():
            minutes[name] += spent
    return Forecast(
        runs=runs,
        endings={status: number / runs for status, number in endings.items()},
        shares=tuple(shares),
        exposed=exposed / runs,
        minutes={name: total / runs for name, total in minutes.items()},
    )


class _Run:
    """One run of a plan."""

    def __init__(self, plan: Plan, stream: Stream, rng: np.random.Generator) -> None:
        self.plan, self.stream = plan, stream
        self.largest = 0
        self.minutes: defaultdict[str, float] = defaultdict(float)
        self._share, self._now = 0, START
        self._data = Synthetic(plan, stream, rng, START)
        self.state = State()
        self._take(command(plan, self.state, Command(Request.START, PERSON), self._flag, START))

    @property
    def exposed(self) -> float:
        """Return how many units met the treatment."""
        return self._data.exposed

    @property
    def _flag(self) -> FlagSeen:
        return FlagSeen(PPM - self._share, self._share)

    def go(self, longest: timedelta) -> None:
        """Look until the end."""
        while self.state.status not in ENDED and self._now - START < longest:
            self._now += self.plan.interval
            faults = self._faults()
            self._data.arrive(self._now, self._share, faults)
            self._note_time()
            if Fault.CONTROLLER_DOWN in faults:
                continue
            away = Fault.OUTAGE in faults
            look = Look(
                self._flag, "the store is away" if away else self._data.findings(self._share)
            )
            self._take(decide(self.plan, self.state, look, self._now))
            if self.state.status is Status.AWAITING_APPROVAL:
                asked = Command(Request.APPROVE, PERSON)
                self._take(command(self.plan, self.state, asked, self._flag, self._now))

    def _take(self, step: Step) -> None:
        self.state = step.state
        if step.share_ppm is not None:
            self._share = step.share_ppm
            self._data.begin_phase()
            self.largest = max(self.largest, self._share)

    def _faults(self) -> set[Fault]:
        passed = self._now - START
        return {
            each.fault
            for each in self.stream.troubles
            if each.start <= passed < each.start + each.duration
        }

    def _note_time(self) -> None:
        name = str(self.state.status)
        if self.state.status not in (Status.PREFLIGHT, Status.WATCHING, Status.ROLLING_BACK):
            name = stage_of(self.plan, self.state).name
        self.minutes[name] += self.plan.interval.total_seconds() / 60
