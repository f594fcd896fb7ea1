from dataclasses import replace

import pytest

from tests.server.domain.experiments.samples import PLAN
from tests.server.domain.experiments.test_simulate import LATENCY, RATING, SCENARIO
from tidegate.model import Direction
from tidegate_server.domain.experiments.outcomes import Assumed
from tidegate_server.domain.experiments.plan import Ceiling, Goal, Margin, MetricName
from tidegate_server.domain.metrics import Statistic
from tidegate_server.errors import InvalidFields

P99, TOKENS = MetricName("latency_ms", Statistic.P99), MetricName("tokens")
PLAN_P99 = replace(PLAN, guardrails=(Margin(LATENCY, 0.1, 0.1), Margin(P99, 0.1, 0.1)))


def test_only_what_the_plan_judges_comes_in() -> None:
    stream = SCENARIO.stream(PLAN_P99)
    assert list(stream.metrics) == [RATING, LATENCY, P99]
    assert stream.metrics[RATING].higher_is_better
    assert not stream.metrics[P99].higher_is_better
    assert stream.metrics[P99].control.mean > 2 * stream.metrics[LATENCY].control.mean


def test_an_effect_is_of_an_outcome_or_of_one_figure() -> None:
    both = replace(SCENARIO, effects={"latency_ms": 0.1, "latency_ms.p99": 0.5}).stream(PLAN_P99)
    changes = [
        each.treatment.mean / each.control.mean
        for each in (both.metrics[RATING], both.metrics[LATENCY], both.metrics[P99])
    ]
    assert changes == pytest.approx([1.0, 1.1, 1.5])


def test_what_is_not_said_is_asked_for() -> None:
    plan = replace(PLAN, guardrails=(Margin(TOKENS, 0.1, 0.1),))
    with pytest.raises(InvalidFields, match="metric tokens: is judged by the plan"):
        SCENARIO.stream(plan)
    outcomes = {**SCENARIO.outcomes, "tokens": Assumed(200, 100)}
    given = replace(SCENARIO, outcomes=outcomes, icc=dict.fromkeys(outcomes, 0.2))
    with pytest.raises(InvalidFields, match="say whether higher or lower is better"):
        given.stream(plan)
    told = replace(given, directions={"tokens": Direction.LOWER}).stream(plan)
    assert not told.metrics[TOKENS].higher_is_better
    ceiling = replace(plan, guardrails=(Ceiling(TOKENS, 400),))
    assert TOKENS in given.stream(ceiling).metrics
    with pytest.raises(InvalidFields, match="'latency' is not known; did you mean 'latency_ms'"):
        replace(SCENARIO, effects={"latency": 0.1}).stream(PLAN)
    with pytest.raises(InvalidFields, match="metric error: a rate must be above 0 and below 1"):
        replace(SCENARIO, effects={"error": 100.0}).stream(PLAN)
    goal = Goal(MetricName("error", Statistic.P99))
    with pytest.raises(InvalidFields, match=r"metric error\.p99: a rate has no p99"):
        SCENARIO.stream(replace(PLAN, goal=goal))


def test_all_that_is_wrong_is_named_at_once() -> None:
    nothing = replace(SCENARIO, outcomes={}, effects={"cost": 0.1})
    with pytest.raises(InvalidFields) as raised:
        nothing.stream(PLAN)
    assert [each.field for each in raised.value.problems] == [
        "effect cost",
        "metric rating",
        "metric latency_ms",
        "metric error",
    ]
