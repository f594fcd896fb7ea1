"""The production template on a synthetic stream of 1,000 units a minute, 20 requests each."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from tests.server.analysis.simulation import monte_carlo_error
from tests.server.domain.experiments.samples import HOUR, MINUTE, PERCENT, PLAN
from tidegate_server.domain.experiments.forecast import Forecast
from tidegate_server.domain.experiments.outcomes import Assumed, Outcome, Rate
from tidegate_server.domain.experiments.plan import (
    AfterLease,
    Ceiling,
    Goal,
    Lease,
    Margin,
    MetricName,
)
from tidegate_server.domain.experiments.scenario import Scenario
from tidegate_server.domain.experiments.simulate import simulate
from tidegate_server.domain.experiments.state import Status
from tidegate_server.domain.experiments.stream import Fault, Stream, Trouble
from tidegate_server.domain.experiments.templates import TEMPLATES
from tidegate_server.errors import InvalidField

RATING, ERROR, LATENCY = MetricName("rating"), MetricName("error"), MetricName("latency_ms")
PRODUCTION = replace(
    PLAN,
    stages=TEMPLATES["production"].stages,
    guardrails=(Margin(LATENCY, 0.1, 0.1), Ceiling(ERROR, 0.05)),
    interval=MINUTE,
)
OUTCOMES: Mapping[str, Outcome] = {
    "rating": Assumed(4.0, 1.0),
    "error": Rate(0.01),
    "latency_ms": Assumed(300.0, 200.0),
}
SCENARIO = Scenario(
    OUTCOMES, dict.fromkeys(OUTCOMES, 0.3), {}, {}, units_per_minute=1_000, requests_per_unit=20
)


def stream(*troubles: Trouble, **effects: float) -> Stream:
    """Return what comes in where the treatment has these relative effects."""
    return replace(SCENARIO, effects=effects, troubles=troubles).stream(PRODUCTION)


def forecast(
    runs: int,
    *troubles: Trouble,
    lease: Lease = PRODUCTION.lease,
    min_effect: float = 0.0,
    **effects: float,
) -> Forecast:
    plan = replace(PRODUCTION, lease=lease, goal=Goal(RATING, min_effect, tolerance=0.05))
    what, rng = stream(*troubles, **effects), np.random.default_rng(1)
    return simulate(plan, what, runs, rng, timedelta(days=1))


def test_two_equal_versions_are_neither_promoted_nor_rolled_back() -> None:
    runs = 100
    found = forecast(runs, min_effect=TEMPLATES["production"].min_effect)
    assert Status.SUCCEEDED not in found.endings
    rolled_back = found.endings.get(Status.ROLLED_BACK, 0.0)
    assert rolled_back <= 0.05 + 3 * monte_carlo_error(0.05, runs)


def test_a_slow_version_never_gets_past_the_canary() -> None:
    found = forecast(300, latency_ms=0.3)
    assert found.endings == {Status.ROLLED_BACK: 1.0}
    assert set(found.shares) == {5 * PERCENT}
    assert found.minutes["canary"] < 30


def test_a_version_with_errors_is_closed_out_within_minutes() -> None:
    found = forecast(100, error=7.0)
    assert found.endings == {Status.ROLLED_BACK: 1.0}
    assert found.minutes["canary"] < 10
    assert found.exposed.mean() < 500


def test_a_better_version_gets_through_in_the_time_of_its_stages() -> None:
    found = forecast(10, rating=0.05)
    assert found.endings == {Status.SUCCEEDED: 1.0}
    assert 30 <= found.minutes["canary"] <= 35
    assert 60 <= found.minutes["expand"] <= 65
    assert 60 <= found.minutes["watching"] <= 65


@pytest.mark.parametrize("fault", [Fault.OUTAGE, Fault.SILENCE, Fault.CONTROLLER_DOWN])
def test_a_fault_only_takes_its_time(fault: Fault) -> None:
    found = forecast(3, Trouble(fault, 10 * MINUTE, HOUR), rating=0.05)
    assert found.endings == {Status.SUCCEEDED: 1.0}
    assert 85 <= found.minutes["canary"] <= 105


def test_an_outage_beyond_the_lease_can_return_to_control() -> None:
    lease = Lease(20 * MINUTE, AfterLease.CONTROL)
    found = forecast(3, Trouble(Fault.OUTAGE, 10 * MINUTE, HOUR), lease=lease, rating=0.05)
    assert found.endings == {Status.ROLLED_BACK: 1.0}
    assert found.minutes["canary"] <= 35


def test_lost_units_never_promote() -> None:
    trouble = Trouble(Fault.LOST_UNITS, timedelta(), timedelta(days=2))
    assert Status.SUCCEEDED not in forecast(3, trouble, rating=0.05).endings


def test_every_metric_of_the_plan_must_be_described() -> None:
    what = stream()
    lacking = replace(what, metrics={RATING: what.metrics[RATING], LATENCY: what.metrics[LATENCY]})
    with pytest.raises(InvalidField, match="error is judged by the plan"):
        simulate(PRODUCTION, lacking, 1, np.random.default_rng(1))
