"""What the past does to a look: clocks, streaks, ceilings; and what is written down."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.server.domain.experiments.samples import (
    HOUR,
    MINUTE,
    NOW,
    PERCENT,
    PLAN,
    findings,
    look,
    seen,
    with_error,
)
from tests.server.domain.experiments.world import World
from tidegate.model import PPM, SplitShare
from tidegate_server.analysis.decision import Verdict
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.domain.experiments.decide import decide, decide_and_see
from tidegate_server.domain.experiments.look import CeilingReading, Gate, GateState, Look
from tidegate_server.domain.experiments.plan import (
    AfterHold,
    Ceiling,
    MetricName,
    Plan,
    Rollback,
    RollbackMode,
    Stage,
    metric_name,
)
from tidegate_server.domain.experiments.records import Action
from tidegate_server.domain.experiments.requests import Request
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.domain.metrics import Statistic

SECONDS = timedelta(seconds=1)
TEN = 10 * SECONDS
OBSERVING = State(
    status=Status.OBSERVING,
    share_ppm=5 * PERCENT,
    attempt=1,
    started=NOW,
    since=NOW,
    last_healthy=NOW,
)


def observed(verdict: Verdict | None, gap: timedelta, state: State, plan: Plan = PLAN) -> State:
    now = (state.looked or NOW) + gap
    found = "the store is away" if verdict is None else findings(verdict, now, plan)
    return decide(plan, state, Look(seen(state.share_ppm), found), now).state


@pytest.mark.parametrize(
    ("verdicts", "seconds"),
    [
        ([Verdict.PASS], 0),
        ([Verdict.PASS, Verdict.PASS, Verdict.PASS], 20),
        ([Verdict.INSUFFICIENT, Verdict.PASS], 10),
        ([Verdict.PASS, Verdict.NO_DATA, Verdict.PASS, Verdict.PASS], 10),
        ([Verdict.PASS, Verdict.PASS, None, Verdict.PASS, Verdict.PASS], 20),
    ],
)
def test_the_bake_clock_runs_between_healthy_looks(
    verdicts: list[Verdict | None], seconds: int
) -> None:
    state = OBSERVING
    for verdict in verdicts:
        state = observed(verdict, TEN, state)
    assert state.baked == seconds * SECONDS


@pytest.mark.parametrize(("gap", "counted"), [(30, 30), (31, 0), (3_600, 0), (-60, 0)])
def test_time_that_nobody_looked_at_does_not_count(gap: int, counted: int) -> None:
    state = observed(Verdict.PASS, gap * SECONDS, observed(Verdict.PASS, TEN, OBSERVING))
    assert state.baked == counted * SECONDS
    assert state.looked == NOW + (10 + max(gap, 0)) * SECONDS


def test_a_stage_is_left_when_time_units_and_passes_are_there() -> None:
    state = replace(OBSERVING, looked=NOW, healthy=True, baked=30 * MINUTE - TEN, streak=0)
    state = observed(Verdict.PASS, TEN, state)
    assert (state.status, state.streak) == (Status.OBSERVING, 1)
    state = observed(Verdict.INSUFFICIENT, TEN, state)
    assert (state.status, state.streak) == (Status.OBSERVING, 0)
    state = observed(Verdict.PASS, TEN, state)
    state = observed(Verdict.PASS, TEN, state)
    assert (state.status, state.stage, state.share_ppm) == (Status.ENTERING, 1, 5 * PERCENT)
    state = observed(Verdict.PASS, TEN, state)
    assert (state.status, state.share_ppm) == (Status.OBSERVING, 25 * PERCENT)
    assert (state.baked, state.streak) == (timedelta(), 0)


def test_too_few_units_of_the_stage_are_insufficient_whatever_there_was_before() -> None:
    found = findings(Verdict.PASS, NOW)
    state = decide(
        PLAN, OBSERVING, Look(seen(5 * PERCENT), replace(found, stage_units=299)), NOW
    ).state
    assert state.verdict is Verdict.INSUFFICIENT
    state = decide(
        PLAN, OBSERVING, Look(seen(5 * PERCENT), replace(found, stage_units=300)), NOW
    ).state
    assert state.verdict is Verdict.PASS


@pytest.mark.parametrize(
    "change",
    [{"newest": None}, {"newest": NOW - 6 * MINUTE}, {"absent": ("latency_ms",)}],
)
def test_silence_and_missing_metrics_are_no_data(change: dict[str, object]) -> None:
    found = replace(findings(Verdict.WIN, NOW), **change)  # type: ignore[arg-type]
    state = decide(PLAN, OBSERVING, Look(seen(5 * PERCENT), found), NOW).state
    assert state.verdict is Verdict.NO_DATA
    assert not state.healthy


@pytest.mark.parametrize(
    ("errors", "breach"),
    [
        ([0.06], False),
        ([0.06, 0.06], True),
        ([0.06, 0.01, 0.06], True),
        ([0.06, 0.01, 0.01, 0.06], False),
        ([0.06, 0.06, 0.01], True),
        ([0.05, 0.05, 0.05], False),
    ],
)
def test_a_ceiling_is_broken_by_two_of_three_looks(errors: list[float], breach: bool) -> None:
    state, now = OBSERVING, NOW
    for error in errors:
        now += TEN
        state = decide(
            PLAN, state, with_error(look(Verdict.PASS, 5 * PERCENT, now), error), now
        ).state
        if state.status is Status.ROLLING_BACK:
            break
    assert (state.status is Status.ROLLING_BACK) == breach
    if breach:
        assert state.reason == "error is 0.06 over the last 2m; at most 0.05 is allowed"


@pytest.mark.parametrize(
    "reading", [CeilingReading(0.5, 49), CeilingReading(NotEstimable(Cause.NO_EVENTS), 0)]
)
def test_an_error_at_low_traffic_breaks_no_ceiling(reading: CeilingReading) -> None:
    state = OBSERVING
    for number in range(10):
        now = NOW + number * TEN
        found = replace(findings(Verdict.PASS, now), ceilings=(reading,))
        state = decide(PLAN, state, Look(seen(5 * PERCENT), found), now).state
    assert state.status is Status.OBSERVING


def test_a_breach_is_told_where_events_have_ceased_since() -> None:
    plan = replace(PLAN, rollback=Rollback(RollbackMode.STEPWISE, MINUTE))
    state = replace(OBSERVING, status=Status.ROLLING_BACK, ceilings=((True, True, True),))
    nothing = CeilingReading(NotEstimable(Cause.NO_EVENTS), 0)
    found = replace(findings(Verdict.PASS, NOW), ceilings=(nothing,))
    step, saw = decide_and_see(plan, state, Look(seen(5 * PERCENT), found), NOW)
    assert step.state.status is Status.ROLLING_BACK
    assert saw.reasons == (
        "error was beyond its limit in 2 of the last 3 looks; at most 0.05 is allowed",
    )


def test_a_floor_is_broken_from_below() -> None:
    plan = replace(PLAN, guardrails=(Ceiling(MetricName("rating"), 3.5, floor=True, broken=1),))
    low = with_error(look(Verdict.PASS, 5 * PERCENT, NOW, plan=plan), 3.4)
    assert decide(plan, OBSERVING, low, NOW).state.status is Status.ROLLING_BACK
    high = with_error(low, 3.6)
    assert decide(plan, OBSERVING, high, NOW).state.status is Status.OBSERVING


def test_ceilings_alone_need_no_burn_in() -> None:
    plan = replace(PLAN, goal=None, guardrails=PLAN.ceilings, stages=(Stage("all", 5 * PERCENT),))
    found = findings(Verdict.INSUFFICIENT, NOW, plan)
    found = replace(found, evidence=replace(found.evidence, metrics=(), units=0.0), stage_units=40)
    assert decide(plan, OBSERVING, Look(seen(5 * PERCENT), found), NOW).state.status is (
        Status.WATCHING
    )


def test_a_mismatch_that_was_seen_once_stays_until_the_split_changes() -> None:
    def at(p_value: float, state: State) -> State:
        found = replace(findings(Verdict.PASS, NOW), sample_ratio_p=p_value)
        return decide(PLAN, state, Look(seen(state.share_ppm), found), NOW).state

    state = at(0.0005, OBSERVING)
    assert (state.status, state.least_p) == (Status.HELD, 0.0005)
    state = at(0.5, state)
    assert (state.status, state.verdict) == (Status.HELD, Verdict.SAMPLE_RATIO_MISMATCH)
    world = World(PLAN, state, seen(5 * PERCENT))
    assert world.ask(Request.SKIP)
    assert world.state.least_p == 0.0005
    state = replace(world.state, stage=1, healthy=True, least_p=1.0)
    assert at(0.5, state).least_p == 1.0


def test_a_false_mismatch_ends_with_a_split_that_is_changed_by_hand() -> None:
    def at(state: State, share_ppm: int) -> State:
        return decide(PLAN, state, look(Verdict.PASS, share_ppm, NOW), NOW).state

    state = at(replace(OBSERVING, status=Status.HELD, least_p=0.0005), 4 * PERCENT)
    assert (state.status, state.least_p) == (Status.PAUSED, 1.0)
    state = at(replace(state, least_p=0.0005), 3 * PERCENT)
    assert (state.status, state.least_p) == (Status.PAUSED, 1.0)
    world = World(PLAN, state, seen(3 * PERCENT))
    assert world.ask(Request.RESUME)
    state = at(world.state, 3 * PERCENT)
    assert (state.status, state.share_ppm) == (Status.OBSERVING, 5 * PERCENT)


def test_an_outage_holds_and_health_brings_back() -> None:
    state = observed(None, TEN, OBSERVING)
    assert (state.status, state.share_ppm) == (Status.HELD, 5 * PERCENT)
    assert "the store is away" in state.reason
    assert observed(Verdict.PASS, TEN, state).status is Status.OBSERVING


def test_a_stage_that_stands_still_goes_on_only_on_evidence_that_can_be_trusted() -> None:
    stages = (
        replace(PLAN.stages[0], hold_limit=HOUR, after_hold=AfterHold.CONTINUE),
        *PLAN.stages[1:],
    )
    plan = replace(PLAN, stages=stages)
    waiting = replace(OBSERVING, baked=HOUR, waiting_since=NOW - 2 * HOUR)
    assert observed(Verdict.NO_DATA, TEN, waiting, plan).status is Status.OBSERVING
    assert observed(Verdict.OUTAGE, TEN, waiting, plan).status is Status.HELD
    state = observed(Verdict.INSUFFICIENT, TEN, waiting, plan)
    assert (state.status, state.stage) == (Status.ENTERING, 1)


def test_evidence_that_comes_and_goes_does_not_wind_up_the_limit_again() -> None:
    """The second stage has baked, lacks units, and may stand still for two hours."""
    state = replace(OBSERVING, stage=1, share_ppm=25 * PERCENT, baked=30 * MINUTE, healthy=True)
    for number in range(30):
        verdict = Verdict.OUTAGE if number % 5 == 4 else Verdict.INSUFFICIENT
        state = observed(verdict, 5 * MINUTE, state)
    (memory,) = state.memories
    assert memory.why.startswith("test has stood still for 2h")


def test_without_data_a_stage_stands_still_from_the_first_look_on() -> None:
    state = observed(Verdict.NO_DATA, TEN, OBSERVING)
    assert (state.status, state.waiting_since) == (Status.OBSERVING, NOW + TEN)
    assert observed(Verdict.NO_DATA, TEN, state).waiting_since == NOW + TEN
    assert observed(Verdict.INSUFFICIENT, TEN, state).waiting_since is None


def test_a_split_that_is_changed_while_paused_is_followed_and_bakes_anew() -> None:
    paused = replace(OBSERVING, status=Status.PAUSED, resume=Status.ENTERING, baked=HOUR)
    step = decide(PLAN, paused, look(Verdict.PASS, 10 * PERCENT, NOW), NOW)
    assert (step.state.share_ppm, step.state.baked, step.decisions) == (
        10 * PERCENT,
        timedelta(),
        (),
    )


def test_a_change_by_hand_pauses_says_so_and_sets_the_clock_back() -> None:
    state = replace(OBSERVING, baked=MINUTE)
    step = decide(PLAN, state, look(Verdict.PASS, 10 * PERCENT, NOW), NOW)
    assert (step.state.status, step.state.share_ppm) == (Status.PAUSED, 10 * PERCENT)
    assert (step.share_ppm, step.state.baked) == (None, timedelta())
    assert step.state.reason == (
        "somebody changed the split: v1 has 90 %, v2 10 %, where v2 was given 5 %"
    )


def test_looks_at_a_paused_experiment_do_not_bake_it() -> None:
    state = replace(OBSERVING, status=Status.PAUSED, resume=Status.ENTERING, baked=MINUTE)
    for _ in range(5):
        state = observed(Verdict.PASS, TEN, state)
    assert (state.status, state.baked) == (Status.PAUSED, MINUTE)


def test_a_new_share_sets_clock_and_passes_back() -> None:
    entering = replace(OBSERVING, status=Status.ENTERING, stage=1, baked=MINUTE, streak=4)
    step = decide(PLAN, entering, look(Verdict.PASS, 5 * PERCENT, NOW), NOW)
    assert (step.state.status, step.share_ppm) == (Status.OBSERVING, 25 * PERCENT)
    assert (step.state.baked, step.state.streak) == (timedelta(), 0)
    same = replace(entering, share_ppm=25 * PERCENT)
    step = decide(PLAN, same, look(Verdict.PASS, 25 * PERCENT, NOW), NOW)
    assert (step.state.status, step.share_ppm) == (Status.OBSERVING, None)
    assert (step.state.baked, step.state.streak) == (MINUTE, 5)


def test_a_stepwise_rollback_goes_through_the_earlier_shares() -> None:
    plan = replace(PLAN, rollback=Rollback(RollbackMode.STEPWISE, MINUTE))
    state = replace(OBSERVING, stage=2, share_ppm=50 * PERCENT)
    world = World(plan, state, seen(50 * PERCENT))
    world.tick(Verdict.BREACH, TEN)
    shares = []
    for _ in range(20):
        shares.append(world.flag.treatment_ppm // PERCENT)
        world.tick(Verdict.PASS, TEN)
    assert shares == [25] * 6 + [5] * 6 + [0] * 8
    assert world.state.status is Status.ROLLED_BACK
    (memory,) = world.state.memories
    assert (memory.attempt, memory.status) == (1, Status.ROLLED_BACK)
    assert memory.why == "latency_ms is worse by at least 15.0%; 10.0% is tolerated"


def test_a_rollback_ends_only_when_nothing_is_left_to_see() -> None:
    state = replace(OBSERVING, status=Status.ROLLING_BACK, share_ppm=0, ending=Status.ABORTED)
    step = decide(PLAN, state, look(Verdict.PASS, 5 * PERCENT, NOW), NOW)
    assert (step.state.status, step.share_ppm) == (Status.ROLLING_BACK, 0)
    step = decide(PLAN, step.state, look(Verdict.PASS, 0, NOW), NOW)
    assert (step.state.status, step.share_ppm) == (Status.ABORTED, None)


def test_a_decision_says_what_led_to_it() -> None:
    breach = look(Verdict.BREACH, 5 * PERCENT, NOW)
    step = decide(PLAN, OBSERVING, replace(breach, flag=replace(breach.flag, phase=7)), NOW)
    assert step.share_ppm == 0
    assert PLAN.split(0) == (SplitShare(PLAN.control, PPM), SplitShare(PLAN.treatment, 0))
    (decision,) = step.decisions
    assert (decision.action, decision.actor) == (Action.ROLL_BACK, "controller")
    assert (decision.stage, decision.phase) == ("canary", 7)
    assert (decision.verdict, decision.units) == (Verdict.BREACH, 5_000)
    goal, margin, ceiling = decision.measured
    assert (goal.metric, goal.role, goal.threshold) == ("rating", "goal", 0.05)
    assert (margin.lower, margin.upper, margin.tolerance) == (0.15, 0.2, 0.1)
    assert (ceiling.metric, ceiling.role, ceiling.value) == ("error", "ceiling", 0.01)


@pytest.mark.parametrize("text", ["rating", "latency_ms.p99", "a.b.p50", "a.b", "x.mean.p95"])
def test_names_of_metrics_read_back(text: str) -> None:
    assert str(metric_name(text)) == text


def test_the_mean_is_what_a_bare_name_stands_for() -> None:
    assert metric_name("rating.mean") == metric_name("rating") == MetricName("rating")
    assert metric_name("latency_ms.p99") == MetricName("latency_ms", Statistic.P99)
    assert metric_name("latency_ms.p90") == MetricName("latency_ms", Statistic.P90)


def test_a_whole_run_without_fault() -> None:
    world = World(PLAN)
    world.ask(Request.START)
    while world.state.status not in (Status.SUCCEEDED, Status.PAUSED):
        world.tick(Verdict.WIN, TEN)
        world.ask(Request.APPROVE)
    assert [decision.action for decision in world.decisions] == [
        Action.START,
        Action.ADVANCE,
        Action.ENTER,
        Action.ADVANCE,
        Action.ENTER,
        Action.ADVANCE,
        Action.ENTER,
        Action.ASK_FOR_APPROVAL,
        Action.APPROVE,
        Action.ENTER,
        Action.PROMOTE,
        Action.FINISH,
    ]


def test_without_a_watch_nothing_is_said_of_its_health() -> None:
    watching = replace(OBSERVING, status=Status.WATCHING, share_ppm=PPM)
    for watch, said in ((MINUTE, "healthy for 1m"), (timedelta(), "no watch is asked for")):
        state = replace(watching, healthy=True, baked=watch, looked=NOW)
        after = observed(Verdict.PASS, timedelta(), state, replace(PLAN, watch=watch))
        assert (after.status, after.reason) == (Status.SUCCEEDED, f"{said} at 100 %")


COMPLETE = replace(OBSERVING, looked=NOW, healthy=True, baked=HOUR, streak=5)


def test_a_stage_is_left_only_past_what_stands_behind_it() -> None:
    now = NOW + TEN
    waiting = look(Verdict.PASS, 5 * PERCENT, now, Gate(GateState.WAITING, "the hook is asked"))
    step = decide(PLAN, COMPLETE, waiting, now)
    assert (step.state.status, step.decisions) == (Status.OBSERVING, ())
    step = decide(PLAN, step.state, look(Verdict.PASS, 5 * PERCENT, now), now)
    assert (step.state.status, step.state.stage) == (Status.ENTERING, 1)


def test_a_no_behind_a_stage_rejects_the_treatment() -> None:
    now = NOW + TEN
    refused = look(Verdict.PASS, 5 * PERCENT, now, Gate(GateState.FAILED, "the hook said no"))
    step = decide(PLAN, COMPLETE, refused, now)
    assert (step.state.status, step.share_ppm) == (Status.ROLLING_BACK, 0)
    assert step.state.ending is Status.REJECTED
    assert "the hook said no" in step.state.reason


def test_what_a_look_saw_has_its_figures_and_what_it_waits_for() -> None:
    now = NOW + TEN
    waiting = look(Verdict.PASS, 5 * PERCENT, now, Gate(GateState.WAITING, "the hook is asked"))
    step, saw = decide_and_see(PLAN, COMPLETE, waiting, now)
    assert step == decide(PLAN, COMPLETE, waiting, now)
    assert (saw.time, saw.stage, saw.share_ppm) == (now, "canary", 5 * PERCENT)
    assert (saw.verdict, saw.units, saw.information) == (Verdict.PASS, 5_000, 0.5)
    assert saw.reasons[-1] == "the hook is asked"
    assert [each.role for each in saw.measured] == ["goal", "guardrail", "ceiling"]


def test_an_outage_is_seen_without_figures() -> None:
    _, saw = decide_and_see(PLAN, OBSERVING, Look(seen(5 * PERCENT), "the store is away"), NOW)
    assert (saw.verdict, saw.units, saw.information) == (Verdict.OUTAGE, None, None)
    assert saw.measured == ()
