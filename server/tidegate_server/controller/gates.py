"""What stands before a preflight's end, a stage's share and a stage's end: pure.

A check has a name of its own in each attempt and stage, so that what came of it is remembered by
whichever controller leads, and never taken for that of an earlier attempt.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import urlsplit

from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.look import OPEN, Gate, GateState
from tidegate_server.domain.experiments.plan import AfterHold, Evaluation, Hook, Plan
from tidegate_server.domain.experiments.state import State, Status, stage_of
from tidegate_server.ports import GateResult, Progress


class Moment(StrEnum):
    """When a hook is asked: before a stage's share is given, or before the stage is left."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Whether host:port answers SERVING to gRPC's health check."""

    address: str

    def __str__(self) -> str:
        return f"health of {self.address}"


@dataclass(frozen=True, slots=True)
class EvaluationCheck:
    """Whether an evaluation set keeps its thresholds."""

    evaluation: Evaluation

    def __str__(self) -> str:
        return "evaluation"


@dataclass(frozen=True, slots=True)
class HookCall:
    """Whether a hook agrees."""

    hook: Hook
    moment: Moment

    def __str__(self) -> str:
        """Name it without what may be secret: user, password and query."""
        url = urlsplit(self.hook.url)
        host = url.netloc.rpartition("@")[2]
        return f"hook {url.scheme}://{host}{url.path}"


Check: TypeAlias = HealthCheck | EvaluationCheck | HookCall
Checks: TypeAlias = Mapping[str, Check]
"""Checks by name."""


def checks_due(plan: Plan, state: State, now: datetime) -> Checks:
    """Return the checks that are to be made now, those that have been made included."""
    return _standing(plan, state) if _is_due(plan, state, now) else {}


def gate_of(
    plan: Plan,
    state: State,
    now: datetime,
    results: Mapping[str, GateResult],
    said: Mapping[str, str],
    replicas: Gate = OPEN,
) -> Gate:
    """Return what stands before the next step.

    results: of checks that are done, by name. said: what those under way last said. replicas: of
    the present stage.
    """
    checks = _standing(plan, state)
    failed, waiting = [], []
    for name, check in checks.items():
        result = results.get(name)
        if result is None:
            waiting.append(f"{check}: {said.get(name, 'no answer yet')}")
        elif result.progress is Progress.FAILED:
            failed.append(f"{check}: {result.why}")
    if stage_follows_replicas(plan, state) and replicas.state is not GateState.OPEN:
        (failed if replicas.state is GateState.FAILED else waiting).append(replicas.why)
    if failed:
        return Gate(GateState.FAILED, "; ".join(failed))
    if waiting:
        return Gate(GateState.WAITING, "; ".join(waiting) if _is_due(plan, state, now) else "")
    return OPEN


def stage_follows_replicas(plan: Plan, state: State) -> bool:
    """Return whether the stage that is being entered waits for replicas."""
    return state.status is Status.ENTERING and stage_of(plan, state).replicas


def _standing(plan: Plan, state: State) -> dict[str, Check]:
    """Return the checks before the next step, by name, whether they can be made yet or not."""
    if state.status is Status.PREFLIGHT:
        return {f"{state.attempt}/preflight/{name}": each for name, each in _preflight(plan)}
    stage = stage_of(plan, state)
    if state.status is Status.ENTERING:
        moment, hooks = Moment.BEFORE, stage.before
    elif state.status in (Status.OBSERVING, Status.DECIDING):
        moment, hooks = Moment.AFTER, stage.after
    else:
        return {}
    return {
        f"{state.attempt}/{stage.name}/{moment}/{index}": HookCall(hook, moment)
        for index, hook in enumerate(hooks)
    }


def _preflight(plan: Plan) -> Iterator[tuple[str, Check]]:
    checks = plan.preflight
    if checks is not None and checks.health:
        yield "health", HealthCheck(checks.health)
    if checks is not None and checks.evaluation is not None:
        yield "evaluation", EvaluationCheck(checks.evaluation)


def _is_due(plan: Plan, state: State, now: datetime) -> bool:
    """Return whether checks are to be made: at a stage's end, once it waits for nothing else."""
    if state.status not in (Status.OBSERVING, Status.DECIDING):
        return True
    stage = stage_of(plan, state)
    complete = state.baked >= stage.bake and state.streak >= stage.passes
    if complete and (not stage.decide or state.verdict is Verdict.WIN):
        return True
    if stage.after_hold is not AfterHold.CONTINUE or stage.hold_limit is None:
        return False
    return state.waiting_since is not None and now - state.waiting_since >= stage.hold_limit
