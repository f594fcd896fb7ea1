"""A flag, its experiment and a clock; and what must hold whatever happens to them."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.server.domain.experiments.samples import NOW, findings, seen
from tidegate.model import PPM
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.assessment import HEALTHY
from tidegate_server.domain.experiments.commands import command
from tidegate_server.domain.experiments.decide import MOST_INTERVALS, decide
from tidegate_server.domain.experiments.look import OPEN, FlagSeen, Gate, Look
from tidegate_server.domain.experiments.plan import ZERO, AfterHold, AfterLease, Plan
from tidegate_server.domain.experiments.records import Action, Decision, Step
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import ACTIVE, ENDED, IN_STAGE, State, Status
from tidegate_server.errors import Refused


@dataclass
class World:
    """healthy_time: what a bake clock may at most have counted since the last change of stage."""

    plan: Plan
    state: State = field(default_factory=State)
    flag: FlagSeen = field(default_factory=lambda: seen(0))
    now: datetime = NOW
    decisions: list[Decision] = field(default_factory=list)
    healthy_time: timedelta = ZERO
    last_look: tuple[datetime, bool] | None = None

    def tick(self, verdict: Verdict | None, gap: timedelta, gate: Gate = OPEN) -> None:
        """Look once, after `gap`. verdict: None: the evidence can't be read."""
        self.now += gap
        before = self.state
        found = "the store is away" if verdict is None else findings(verdict, self.now, self.plan)
        step = decide(self.plan, before, Look(self.flag, found, gate), self.now)
        self._count_healthy_time(step)
        self._check_tick(before, step, verdict, gate)
        self._take(step)

    def ask(self, request: Request) -> bool:
        """Ask for something; return whether it was granted."""
        try:
            step = command(self.plan, self.state, Command(request, "anna"), self.flag, self.now)
        except Refused:
            return False
        assert len(step.decisions) == 1
        self._take(step)
        return True

    def change_by_hand(self, share_ppm: int) -> None:
        self.flag = replace(seen(share_ppm), killed=self.flag.killed)

    def kill(self, *, killed: bool) -> None:
        self.flag = replace(self.flag, killed=killed)

    def _take(self, step: Step) -> None:
        for decision in step.decisions:
            self._check_decision(decision)
        if step.share_ppm is not None:
            self.flag = replace(seen(step.share_ppm), killed=self.flag.killed)
        after, former = step.state, self.state
        watches = after.status is Status.WATCHING and former.status in IN_STAGE
        if watches or (after.stage, after.attempt) != (former.stage, former.attempt):
            self.healthy_time, self.last_look = ZERO, None
        if step.share_ppm is not None:
            self.last_look = None
        self.decisions += step.decisions
        self.state = step.state
        if self.state.status in IN_STAGE:
            assert self.state.share_ppm <= self.plan.stages[self.state.stage].share_ppm
        assert self.state.baked <= self.healthy_time

    def _count_healthy_time(self, step: Step) -> None:
        healthy = step.state.verdict in HEALTHY
        if self.last_look is not None and self.last_look[1] and healthy:
            passed = self.now - self.last_look[0]
            if passed <= MOST_INTERVALS * self.plan.interval:
                self.healthy_time += passed
        self.last_look = (self.now, healthy)

    def _check_tick(self, before: State, step: Step, verdict: Verdict | None, gate: Gate) -> None:
        after = step.state
        if before.status not in ACTIVE:
            assert step == Step(before)
        moved = (before.status, before.stage) != (after.status, after.stage)
        assert len(step.decisions) == (moved or step.share_ppm is not None)
        exposed = self.flag.treatment_ppm > 0
        if verdict is Verdict.BREACH and before.status in ACTIVE and exposed:
            assert after.status is Status.ROLLING_BACK
        begins = after.status is Status.ROLLING_BACK and before.status is not Status.ROLLING_BACK
        other_cause = self.flag.killed or (
            gate != OPEN and before.status in (Status.PREFLIGHT, Status.ENTERING)
        )
        if begins and verdict in (None, Verdict.OUTAGE) and not other_cause:
            assert self._is_over_a_limit(before)

    def _is_over_a_limit(self, before: State) -> bool:
        plan = self.plan
        stage = plan.stages[before.stage]
        assert before.started is not None
        late = plan.deadline is not None and self.now - before.started >= plan.deadline
        alone = plan.lease.then is AfterLease.CONTROL
        assert before.last_healthy is not None
        alone = alone and self.now - before.last_healthy >= plan.lease.duration
        still = stage.after_hold is AfterHold.ROLL_BACK and before.waiting_since is not None
        if still and before.waiting_since is not None and stage.hold_limit is not None:
            still = self.now - before.waiting_since >= stage.hold_limit
        return late or alone or still

    def _check_decision(self, decision: Decision) -> None:
        before, after = decision.before, decision.after
        if decision.action is Action.RESUME or after.attempt != before.attempt:
            return
        promoted = after.status is Status.WATCHING
        last = len(self.plan.stages) if promoted else after.stage
        for index in range(before.stage, last):
            if self.plan.stages[index].approval:
                assert decision.action is Action.APPROVE
                assert before.status is Status.AWAITING_APPROVAL
        if decision.action in (Action.ADVANCE, Action.PROMOTE) and decision.actor == "controller":
            self._check_advance(before)

    def _check_advance(self, before: State) -> None:
        """A stage is left by itself only after its time, or where it may go on after its limit."""
        stage = self.plan.stages[before.stage]
        if before.status is Status.PREFLIGHT or stage.after_hold is AfterHold.CONTINUE:
            return
        assert self.healthy_time >= stage.bake

    def finish(self) -> None:
        """Check that there is a way out to 0 %, or to everything."""
        self.kill(killed=False)
        if self.state.status is Status.DRAFT:
            assert self.ask(Request.ABORT)
        if self.state.status not in ENDED | {Status.ROLLING_BACK}:
            assert self.ask(Request.ABORT)
        for _ in range(2 * len(self.plan.stages) + 3):
            self.tick(Verdict.OUTAGE, max(self.plan.rollback.step, self.plan.interval))
        assert self.state.status in ENDED
        if self.state.status is not Status.SUCCEEDED:
            assert self.state.share_ppm == 0
        assert self.state.share_ppm in (0, PPM)
