from dataclasses import replace
from datetime import timedelta

import pytest

from tests.server.domain.drafts import DRAFT
from tests.server.domain.experiments.samples import HOUR, MINUTE, PERCENT, PLAN
from tidegate.model import PPM, Direction, FlagKey, Metric, VariantKey
from tidegate_server.domain.experiments.checks import flag_problems, problems
from tidegate_server.domain.experiments.plan import (
    AfterHold,
    Ceiling,
    ExperimentKey,
    Goal,
    Lease,
    Margin,
    MetricName,
    Plan,
    Preflight,
    QualityRules,
    Rollback,
    RollbackMode,
    Stage,
)
from tidegate_server.domain.experiments.templates import TEMPLATES

RATING = MetricName("rating")
HALF = Stage("half", 50 * PERCENT)


def guarded(*guardrails: Margin | Ceiling) -> Plan:
    return replace(PLAN, guardrails=guardrails)


def staged(*stages: Stage) -> Plan:
    return replace(PLAN, stages=stages)


def test_a_sound_plan_has_no_problems() -> None:
    assert problems(PLAN) == ()
    for template in TEMPLATES.values():
        assert problems(replace(PLAN, stages=template.stages, watch=template.watch)) == ()


@pytest.mark.parametrize(
    ("plan", "fields"),
    [
        (replace(PLAN, key=ExperimentKey("A b")), ["experiment"]),
        (replace(PLAN, flag=FlagKey("")), ["flag"]),
        (replace(PLAN, treatment=VariantKey("v1")), ["treatment"]),
        (replace(PLAN, goal=Goal(RATING, -0.1)), ["goal.min_effect"]),
        (replace(PLAN, goal=Goal(RATING, float("nan"))), ["goal.min_effect"]),
        (replace(PLAN, goal=Goal(RATING, tolerance=-1)), ["goal.tolerance"]),
        (replace(PLAN, goal=Goal(RATING, planned_units=0)), ["goal.planned_units"]),
        (replace(PLAN, goal=Goal(MetricName("A B"))), ["goal.metric"]),
        (guarded(Margin(RATING, 0, 0)), ["guardrails[0].margin"]),
        (guarded(Margin(RATING, 0.1, 0.05)), ["guardrails[0].tolerance"]),
        (guarded(Margin(RATING, 0.1, 0.1), Margin(RATING, 0.2, 0.2)), ["guardrails[1]"]),
        (guarded(Ceiling(RATING, float("inf"))), ["guardrails[0].max"]),
        (guarded(Ceiling(RATING, float("nan"), floor=True)), ["guardrails[0].min"]),
        (guarded(Ceiling(RATING, 1, window=timedelta(seconds=15))), ["guardrails[0].window"]),
        (guarded(Ceiling(RATING, 1, window=25 * HOUR)), ["guardrails[0].window"]),
        (guarded(Ceiling(RATING, 1, least_events=0)), ["guardrails[0].min_events"]),
        (guarded(Ceiling(RATING, 1, broken=4, looks=3)), ["guardrails[0].looks"]),
        (guarded(*[Ceiling(RATING, 1, window=n * MINUTE) for n in range(1, 52)]), ["guardrails"]),
        (replace(guarded(), goal=None, stages=(HALF,)), ["guardrails"]),
        (replace(PLAN, quality=QualityRules(alpha=0.5)), ["quality.alpha"]),
        (replace(PLAN, quality=QualityRules(burn_in=-1)), ["quality.burn_in"]),
        (replace(PLAN, quality=QualityRules(silence=MINUTE / 60)), ["quality.silence"]),
        (staged(), ["stages"]),
        (staged(*[Stage(f"s{n}", n + 1) for n in range(21)]), ["stages"]),
        (staged(HALF, replace(HALF, name="again")), ["stages[1].share"]),
        (staged(replace(HALF, share_ppm=PPM + 1)), ["stages[0].share"]),
        (staged(replace(HALF, share_ppm=0)), ["stages[0].share"]),
        (staged(HALF, replace(HALF, share_ppm=PPM)), ["stages[1].name"]),
        (staged(replace(HALF, name="Half")), ["stages[0].name"]),
        (staged(replace(HALF, bake=-MINUTE)), ["stages[0].bake"]),
        (staged(replace(HALF, min_units=-1)), ["stages[0].min_units"]),
        (staged(replace(HALF, passes=0)), ["stages[0].passes"]),
        (staged(HALF, Stage("full", PPM, decide=True)), ["stages[1].decide"]),
        (staged(Stage("full", PPM)), ["stages[0].share"]),
        (
            replace(PLAN, goal=None, guardrails=PLAN.ceilings),
            ["stages[1].decide"],
        ),
        (staged(replace(HALF, after_hold=AfterHold.ROLL_BACK)), ["stages[0].hold_limit"]),
        (staged(replace(HALF, hold_limit=MINUTE / 60)), ["stages[0].hold_limit"]),
        (
            staged(replace(HALF, decide=True, hold_limit=HOUR, after_hold=AfterHold.CONTINUE)),
            ["stages[0].then"],
        ),
        (replace(PLAN, interval=timedelta()), ["interval"]),
        (replace(PLAN, interval=2 * HOUR), ["interval"]),
        (replace(PLAN, watch=timedelta(days=367)), ["watch"]),
        (replace(PLAN, lease=Lease(timedelta())), ["lease.duration"]),
        (replace(PLAN, preflight=Preflight(timedelta())), ["preflight.limit"]),
        (replace(PLAN, deadline=2 * HOUR), ["deadline"]),
        (
            replace(PLAN, rollback=Rollback(RollbackMode.STEPWISE, timedelta())),
            ["rollback.step"],
        ),
        (replace(PLAN, rollback=Rollback(cool_down=-MINUTE)), ["rollback.cool_down"]),
        (replace(PLAN, rollback=Rollback(retries=-1)), ["rollback.retries"]),
    ],
)
def test_what_makes_no_sense_is_named(plan: Plan, fields: list[str]) -> None:
    assert [each.field for each in problems(plan)] == fields


def test_all_is_named_at_once() -> None:
    wrong = replace(PLAN, key=ExperimentKey(""), interval=timedelta(), watch=-MINUTE)
    assert [each.field for each in problems(wrong)] == ["experiment", "interval", "watch"]


def test_the_flag_must_have_both_variants() -> None:
    assert flag_problems(PLAN, DRAFT) == ()
    (problem,) = flag_problems(replace(PLAN, treatment=VariantKey("v22")), DRAFT)
    assert str(problem) == "treatment: variant 'v22' is not known; did you mean 'v2'?"


def test_what_is_compared_must_have_a_direction() -> None:
    tokens, joy = MetricName("tokens"), MetricName("joy")
    plan = replace(PLAN, goal=Goal(joy), guardrails=(Ceiling(joy, 1.0), Margin(tokens, 0.1, 0.1)))
    lower = Metric("tokens", Direction.LOWER)
    assert [each.field for each in flag_problems(plan, DRAFT)] == [
        "goal.metric",
        "guardrails[1].metric",
    ]
    (problem,) = flag_problems(plan, replace(DRAFT, metrics=(lower,)))
    assert str(problem) == (
        "goal.metric: it is not known which way 'joy' is better: "
        "declare it among the metrics of flag 'chat-model'"
    )
