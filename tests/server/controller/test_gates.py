"""Which checks stand where, and what comes of them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.server.domain.experiments.samples import HOUR, MINUTE, NOW, PLAN
from tidegate_server.analysis.decision import Verdict
from tidegate_server.controller.gates import (
    EvaluationCheck,
    HealthCheck,
    HookCall,
    Moment,
    checks_due,
    gate_of,
)
from tidegate_server.domain.experiments.look import OPEN, Gate, GateState
from tidegate_server.domain.experiments.plan import (
    AfterHold,
    Evaluation,
    Hook,
    Preflight,
    Stage,
    Threshold,
)
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.ports import GateResult, Progress

EVALUATION = Evaluation((Threshold("accuracy", 0.9, floor=True),), url="http://eval")
BEFORE, AFTER = Hook("http://before"), Hook("http://after")
CANARY, TEST, *_ = PLAN.stages
PLAN_WITH_CHECKS = replace(
    PLAN,
    preflight=Preflight(health="v2:7000", evaluation=EVALUATION),
    stages=(
        replace(CANARY, before=(BEFORE, AFTER), after=(AFTER,)),
        replace(TEST, after=(AFTER,)),
        *PLAN.stages[2:],
    ),
)
DONE = State(Status.OBSERVING, attempt=2, baked=HOUR, streak=9, verdict=Verdict.PASS)


def result(progress: Progress, why: str = "") -> GateResult:
    return GateResult(progress, why, NOW)


def gate(state: State, results: Mapping[str, GateResult], **said: str) -> Gate:
    return gate_of(PLAN_WITH_CHECKS, state, NOW, results, said)


def test_preflight() -> None:
    state = State(Status.PREFLIGHT, attempt=2)
    assert checks_due(PLAN_WITH_CHECKS, state, NOW) == {
        "2/preflight/health": HealthCheck("v2:7000"),
        "2/preflight/evaluation": EvaluationCheck(EVALUATION),
    }
    passed = {"2/preflight/health": result(Progress.PASSED)}
    assert gate(state, passed) == Gate(GateState.WAITING, "evaluation: no answer yet")
    earlier = {"1/preflight/evaluation": result(Progress.PASSED)}
    assert gate(state, passed | earlier).state is GateState.WAITING, "that was another attempt"
    both = {name: result(Progress.PASSED) for name in checks_due(PLAN_WITH_CHECKS, state, NOW)}
    assert gate(state, both) == OPEN
    failed = {"2/preflight/evaluation": result(Progress.FAILED, "accuracy is missing")}
    assert gate(state, failed) == Gate(GateState.FAILED, "evaluation: accuracy is missing")


def test_a_hook_is_named_without_its_secrets() -> None:
    call = HookCall(Hook("https://user:pass@host:8443/freeze?token=abc"), Moment.BEFORE)
    assert str(call) == "hook https://host:8443/freeze"


def test_without_checks_the_gate_is_open() -> None:
    for status in Status:
        assert checks_due(PLAN, State(status, attempt=1), NOW) == {}
        assert gate_of(PLAN, State(status, attempt=1), NOW, {}, {}) == OPEN


def test_before_a_share_is_given() -> None:
    state = State(Status.ENTERING, attempt=1)
    names = ["1/canary/before/0", "1/canary/before/1"]
    due = checks_due(PLAN_WITH_CHECKS, state, NOW)
    assert due == {
        names[0]: HookCall(BEFORE, Moment.BEFORE),
        names[1]: HookCall(AFTER, Moment.BEFORE),
    }
    waiting = gate_of(PLAN_WITH_CHECKS, state, NOW, {}, {names[0]: "answered 503"})
    assert waiting.why == "hook http://before: answered 503; hook http://after: no answer yet"
    assert checks_due(PLAN_WITH_CHECKS, replace(state, stage=1), NOW) == {}


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (DONE, True),
        (replace(DONE, baked=MINUTE), False),
        (replace(DONE, streak=1), False),
        (replace(DONE, stage=1), False),
        (replace(DONE, stage=1, verdict=Verdict.WIN), True),
        (replace(DONE, stage=1, status=Status.DECIDING, verdict=Verdict.WIN), True),
        (replace(DONE, status=Status.HELD), None),
        (replace(DONE, status=Status.AWAITING_APPROVAL), None),
        (replace(DONE, status=Status.PAUSED), None),
    ],
)
def test_before_a_stage_is_left(state: State, *, due: bool | None) -> None:
    """Until it was asked, and said yes, the gate is shut; None: there is nothing to ask."""
    asked = checks_due(PLAN_WITH_CHECKS, state, NOW)
    assert bool(asked) is bool(due)
    shut = gate(state, {})
    assert shut.state is (GateState.OPEN if due is None else GateState.WAITING)
    assert bool(shut.why) is bool(due)
    for name, check in asked.items():
        assert (name, check) == (
            f"2/{PLAN.stages[state.stage].name}/after/0",
            HookCall(AFTER, Moment.AFTER),
        )
        assert gate(state, {name: result(Progress.PASSED)}) == OPEN


def test_a_stage_that_goes_on_after_its_limit_asks_then() -> None:
    stage: Stage = replace(CANARY, after=(AFTER,), hold_limit=HOUR, after_hold=AfterHold.CONTINUE)
    plan = replace(PLAN, stages=(stage, *PLAN.stages[1:]))
    waits = replace(DONE, streak=0, waiting_since=NOW - HOUR)
    assert checks_due(plan, waits, NOW)
    assert not checks_due(plan, waits, NOW - timedelta(seconds=1))
    assert not checks_due(plan, replace(waits, waiting_since=None), NOW)
    held = replace(stage, after_hold=AfterHold.ROLL_BACK)
    assert not checks_due(replace(plan, stages=(held, *PLAN.stages[1:])), waits, NOW)


@pytest.mark.parametrize("of", [GateState.WAITING, GateState.FAILED, GateState.OPEN])
def test_replicas(of: GateState) -> None:
    stage = replace(CANARY, replicas=True)
    plan = replace(PLAN, stages=(stage, *PLAN.stages[1:]))
    entering = State(Status.ENTERING, attempt=1)
    replicas = Gate(of, "" if of is GateState.OPEN else "1 of 2 replicas has v2")
    assert gate_of(plan, entering, NOW, {}, {}, replicas) == replicas
    assert gate_of(plan, DONE, NOW, {}, {}, replicas) == OPEN
    assert gate_of(PLAN, entering, NOW, {}, {}, replicas) == OPEN
