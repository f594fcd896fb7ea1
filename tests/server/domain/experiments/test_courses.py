"""Runs that go through time together come to what each would come to by itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from tests.server.domain.experiments.samples import HOUR, MINUTE, PERCENT, PLAN
from tests.server.domain.experiments.test_simulate import ERROR, LATENCY, PRODUCTION, RATING, stream
from tidegate.model import PPM
from tidegate_server.analysis.decision import EffectRule
from tidegate_server.domain.experiments import simulate as simulation
from tidegate_server.domain.experiments.commands import command
from tidegate_server.domain.experiments.courses import Sight, sight_of
from tidegate_server.domain.experiments.decide import decide
from tidegate_server.domain.experiments.glance import Glance, judged_metrics
from tidegate_server.domain.experiments.look import FlagSeen, Look
from tidegate_server.domain.experiments.plan import (
    AfterHold,
    AfterLease,
    Ceiling,
    ChangeWindow,
    Goal,
    Lease,
    Margin,
    Plan,
    Rollback,
    RollbackMode,
    Stage,
    Weekday,
)
from tidegate_server.domain.experiments.records import Step
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import ENDED, IN_STAGE, State, Status, stage_of
from tidegate_server.domain.experiments.stream import Fault, Stream, Trouble
from tidegate_server.domain.experiments.synthetic import Synthetic

RUNS, LONGEST, SEED = 20, 6 * HOUR, 7
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
TEST = Stage("test", 25 * PERCENT, 20 * MINUTE, 1_000, passes=3, decide=True)


@dataclass
class Run:
    """One run, look by look, with the whole of its state."""

    plan: Plan
    state: State = field(default_factory=State)
    share: int = 0
    largest: int = 0
    ended: float = float("nan")
    minutes: Counter[str] = field(default_factory=Counter)

    def take(self, step: Step) -> None:
        self.state = step.state
        self.share = self.share if step.share_ppm is None else step.share_ppm
        self.largest = max(self.largest, self.share)

    def flag(self) -> FlagSeen:
        return FlagSeen(PPM - self.share, self.share)

    def ask(self, request: Request, now: datetime) -> None:
        asked = Command(request, "anna")
        self.take(command(self.plan, self.state, asked, self.flag(), now))

    def spend_a_minute(self) -> None:
        if self.state.status in IN_STAGE:
            self.minutes[stage_of(self.plan, self.state).name] += 1
        elif self.state.status not in ENDED:
            self.minutes[self.state.status] += 1


def one_by_one(plan: Plan, what: Stream, approve_after: timedelta) -> list[Run]:
    """Let `decide` look at the very evidence that `simulate` draws, at each run by itself."""
    runs = [Run(plan) for _ in range(RUNS)]
    for run in runs:
        run.ask(Request.START, START)
    data = Synthetic(plan, what, RUNS, np.random.default_rng(SEED))
    judged = judged_metrics(plan, what)
    for interval in range(LONGEST // plan.interval):
        now, faults = START + (interval + 1) * MINUTE, what.faults(interval * MINUTE)
        share = np.array([run.share for run in runs])
        data.arrive(interval, share, faults)
        glance, sight = Glance(plan, judged, data, share, interval), sight_of(faults)
        for number, run in enumerate(runs):
            run.spend_a_minute()
            if run.state.status in ENDED or sight is Sight.NONE:
                continue
            findings = glance.findings(number, now) if sight is Sight.CLEAR else "away"
            run.take(decide(plan, run.state, Look(run.flag(), findings), now))
            asked = run.state.status is Status.AWAITING_APPROVAL
            if asked and now - (run.state.since or now) >= approve_after:
                run.ask(Request.APPROVE, now)
            if run.state.status in ENDED:
                run.ended = interval + 1.0
        data.begin_phases(np.array([run.share for run in runs]) != share)
    return runs


PLANS: Mapping[str, Plan] = {
    "production": PRODUCTION,
    "approval": replace(
        PRODUCTION, stages=(TEST, Stage("rest", 50 * PERCENT, 9 * MINUTE, approval=True))
    ),
    "windows": replace(
        PRODUCTION,
        change_windows=(ChangeWindow((Weekday.MON,), time(9), time(11), "Europe/Berlin"),),
    ),
    "deadline": replace(PRODUCTION, deadline=2 * HOUR),
    "stepwise": replace(
        PRODUCTION, rollback=Rollback(RollbackMode.STEPWISE, 7 * MINUTE), guardrails=(
            Margin(LATENCY, 0.1, 0.1), Margin(ERROR, 0.3, 0.4), Ceiling(RATING, 3.9, floor=True))
    ),
    "point": replace(
        PRODUCTION, goal=Goal(RATING, 0.03, EffectRule.POINT, tolerance=0.0, planned_units=3_000)
    ),
    "ceilings only": replace(
        PLAN,
        goal=None,
        guardrails=(Ceiling(ERROR, 0.03, window=5 * MINUTE), Ceiling(LATENCY, 325.0, looks=5)),
        stages=(
            Stage("a", 5 * PERCENT, 20 * MINUTE, 2_000, passes=4, hold_limit=30 * MINUTE,
                  after_hold=AfterHold.CONTINUE),
            Stage("b", 50 * PERCENT, 20 * MINUTE, hold_limit=HOUR, after_hold=AfterHold.ROLL_BACK),
        ),
        interval=MINUTE,
    ),
}  # fmt: skip

TROUBLES = (
    Trouble(Fault.OUTAGE, 25 * MINUTE, 4 * MINUTE),
    Trouble(Fault.CONTROLLER_DOWN, 40 * MINUTE, 5 * MINUTE),
    Trouble(Fault.SILENCE, 70 * MINUTE, 12 * MINUTE),
    Trouble(Fault.LOST_UNITS, 150 * MINUTE, 20 * MINUTE),
)


@pytest.mark.parametrize("troubles", [(), TROUBLES], ids=["calm", "troubled"])
@pytest.mark.parametrize("name", PLANS)
def test_together_and_one_by_one_come_to_the_same(
    name: str, troubles: tuple[Trouble, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, approve_after = PLANS[name], 45 * MINUTE
    plan = replace(plan, lease=Lease(8 * MINUTE, AfterLease.CONTROL) if troubles else plan.lease)
    what = stream(*troubles, rating=0.055, latency_ms=0.04)
    runs = one_by_one(plan, what, approve_after)
    monkeypatch.setattr(simulation, "_WORTH_DROPPING", 0.0)  # the same draws for the same runs
    rng = np.random.default_rng(SEED)
    found = simulation.simulate(plan, what, RUNS, rng, LONGEST, approve_after, START)
    statuses = Counter(run.state.status for run in runs)
    assert found.endings == {each: number / RUNS for each, number in statuses.items()}
    np.testing.assert_array_equal(found.ends, [run.ended for run in runs])
    np.testing.assert_array_equal(found.shares, [run.largest for run in runs])
    minutes = sum((run.minutes for run in runs), Counter[str]())
    assert dict(found.minutes) == pytest.approx({name: n / RUNS for name, n in minutes.items()})


def test_most_frequent_reasons_are_told_without_regard_to_figures() -> None:
    found = simulation.simulate(
        replace(PRODUCTION, goal=Goal(RATING)), stream(latency_ms=0.3), 50, np.random.default_rng(1)
    )
    turn = found.turns[Status.ROLLED_BACK]
    assert turn.decision.stage == "canary"
    assert turn.part > 0.8
    assert turn.decision.why.startswith("latency_ms is worse by at least ")


def test_a_promotion_is_told_by_the_test_that_led_to_it() -> None:
    found = simulation.simulate(
        replace(PRODUCTION, goal=Goal(RATING)), stream(rating=0.06), 10, np.random.default_rng(1)
    )
    assert found.turns[Status.SUCCEEDED].decision.stage == "test"
    assert "rating is better by at least" in found.turns[Status.SUCCEEDED].decision.why
