"""What looks make of simulated runs: `decide` is asked once for each case.

A case is a state with what `decide` can tell of a look (`glance.Glance.bits`). Of a state only that
is kept which later looks depend on, and times only by how long ago they were (`_essence`). So most
runs are in few states at once, and thousands of runs cost little more than one.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from tidegate.model import PPM
from tidegate_server.analysis.decision import Verdict
from tidegate_server.analysis.quality import ALPHA
from tidegate_server.domain.experiments.commands import command
from tidegate_server.domain.experiments.decide import decide
from tidegate_server.domain.experiments.look import Findings, FlagSeen, Look
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Action, Decision, Step
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import ENDED, IN_STAGE, State, Status, stage_of
from tidegate_server.domain.experiments.stream import Fault
from tidegate_server.domain.experiments.windows import may_rise

PERSON = "simulation"

_TELLING = frozenset(Action) - {Action.ENTER, Action.OBSERVE, Action.APPROVE, Action.FINISH}
"""What is decided, rather than what only follows from it."""

_DATED = frozenset({Status.PREFLIGHT, Status.AWAITING_APPROVAL, Status.ROLLING_BACK})
"""Statuses in which it counts how long ago the last decision was."""


class Sight(StrEnum):
    """What a look sees. AWAY: the evidence can't be read. NONE: nobody looks."""

    CLEAR = "clear"
    AWAY = "away"
    NONE = "none"


def sight_of(faults: Collection[Fault]) -> Sight:
    """Return what a look sees while these faults last."""
    if Fault.CONTROLLER_DOWN in faults:
        return Sight.NONE
    return Sight.AWAY if Fault.OUTAGE in faults else Sight.CLEAR


_MISMATCH = 0.99 * ALPHA
"""What stands for every p-value of the sample ratio that is a mismatch."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs are.

    number: of the state. name: of the stage; of the status outside of stages. needed: units that
    the stage needs. turn: what was decided on the way here, as an index of `Courses.turns`; won:
    the same if the goal was shown; -1: nothing worth telling.
    """

    number: int
    name: str
    status: Status
    share_ppm: int
    needed: int
    turn: int
    won: int


class Courses:
    """All states that runs have been in, and the steps between them.

    start: when runs begin. approve_after: how long a person takes to approve. first: where runs
    begin. turns: what was decided, in any case.
    """

    def __init__(self, plan: Plan, start: datetime, approve_after: timedelta) -> None:
        self.plan, self.turns = plan, list[Decision]()
        self._start, self._approve_after = start, approve_after
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._steps: dict[tuple[Sight, bytes, bool, bool], Place] = {}
        started = command(plan, State(), Command(Request.START, PERSON), FlagSeen(PPM, 0), start)
        self.first = self._place(started, start)

    def step(
        self,
        sight: Sight,
        case: bytes,
        number: int,
        find: Callable[[], Findings],
        now: datetime,
    ) -> Place:
        """Return where a state is after a look.

        case: tells state and look from all others. number: of the state. find: tells what the look
        finds, if it can see anything.
        """
        over = self.plan.deadline is not None and now - self._start >= self.plan.deadline
        key = sight, case, may_rise(self.plan, now), over
        found = self._steps.get(key)
        if found is None:
            state = _later(self._states[number], now - self.plan.interval - self._start)
            state = replace(state, started=self._start)
            if sight is Sight.NONE:
                step = Step(state)
            else:
                seen = find() if sight is Sight.CLEAR else "the store is away"
                step = self._decide(state, seen, now)
            found = self._steps[key] = self._place(step, now)
        return found

    def _decide(self, state: State, findings: Findings | str, now: datetime) -> Step:
        flag = FlagSeen(PPM - state.share_ppm, state.share_ppm)
        step = decide(self.plan, state, Look(flag, findings), now)
        asked, since = step.state.status is Status.AWAITING_APPROVAL, step.state.since or now
        if not asked or now - since < self._approve_after:
            return step
        approved = command(self.plan, step.state, Command(Request.APPROVE, PERSON), flag, now)
        return Step(approved.state, approved.share_ppm, step.decisions + approved.decisions)

    def _place(self, step: Step, now: datetime) -> Place:
        """Return where a step leads. now: when it was made."""
        essence = _later(_essence(self.plan, step.state, now), self._start - now)
        number = self._numbers.setdefault(essence, len(self._states))
        if number == len(self._states):
            self._states.append(essence)
        turn = -1
        for each in step.decisions:
            if each.action in _TELLING and each.before.status is not Status.ROLLING_BACK:
                turn = len(self.turns)
                self.turns.append(each)
        status, stage = step.state.status, stage_of(self.plan, step.state)
        return Place(
            number=number,
            name=stage.name if status in IN_STAGE else str(status),
            status=status,
            share_ppm=step.state.share_ppm,
            needed=stage.min_units if status in IN_STAGE else 0,
            turn=turn,
            won=turn if turn >= 0 and self._shows_goal(self.turns[turn]) else -1,
        )

    def _shows_goal(self, decision: Decision) -> bool:
        decides = stage_of(self.plan, decision.before).decide
        return decides and decision.verdict is Verdict.WIN


def _essence(plan: Plan, state: State, now: datetime) -> State:
    """Return a state without what no later look depends on: texts, records, times long past."""
    status = state.status
    if status in ENDED:
        return State(status, share_ppm=state.share_ppm)
    stage, healthy = stage_of(plan, state), state.last_healthy
    waiting, limit = state.waiting_since, stage.hold_limit
    return State(
        status=status,
        stage=state.stage,
        share_ppm=state.share_ppm,
        since=state.since if status in _DATED else None,
        looked=state.looked,
        healthy=state.healthy,
        last_healthy=max(healthy, now - plan.lease.duration) if healthy else None,
        baked=min(state.baked, plan.watch if status is Status.WATCHING else stage.bake),
        streak=min(state.streak, stage.passes),
        waiting_since=max(waiting, now - limit if limit else now) if waiting else None,
        ceilings=state.ceilings,
        least_p=1.0 if state.least_p >= ALPHA else _MISMATCH,
        ending=state.ending,
    )


def _later(state: State, span: timedelta) -> State:
    """Return the state with all its times moved by `span`."""
    times = {
        name: getattr(state, name) for name in ("since", "looked", "last_healthy", "waiting_since")
    }
    return replace(state, **{name: time + span for name, time in times.items() if time})
