"""What the production template promises, with 1,000 users a minute and 20 requests each."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from tests.server.analysis.simulation import monte_carlo_error
from tests.server.domain.experiments.samples import PERCENT, PLAN
from tests.server.domain.experiments.test_simulate import ERROR, LATENCY, RATING, SCENARIO
from tidegate_server.domain.experiments.forecast import Forecast
from tidegate_server.domain.experiments.plan import ZERO, Ceiling, Goal, Margin, MetricName
from tidegate_server.domain.experiments.simulate import simulate
from tidegate_server.domain.experiments.state import ENDED, Status
from tidegate_server.domain.experiments.stream import Fault, Trouble
from tidegate_server.domain.experiments.templates import TEMPLATES
from tidegate_server.domain.metrics import Statistic

LATENCY_P99 = MetricName("latency_ms", Statistic.P99)
TEMPLATE = TEMPLATES["production"]
PRODUCTION = replace(
    PLAN,
    goal=Goal(RATING, TEMPLATE.min_effect, tolerance=0.05),
    guardrails=(
        Ceiling(ERROR, 0.05),
        Margin(ERROR, 0.5, 0.5),
        Margin(LATENCY, 0.1, 0.1),
        Margin(LATENCY_P99, 0.15, 0.15),
    ),
    stages=TEMPLATE.stages,
    preflight=TEMPLATE.preflight,
    watch=TEMPLATE.watch,
    deadline=None,
)
RUNS = [pytest.param(1_000, id="1000"), pytest.param(10_000, id="10000", marks=pytest.mark.slow)]


def forecast(runs: int, users: float = 1_000, **effects: float) -> Forecast:
    assert PRODUCTION.interval == timedelta(seconds=10)
    traffic = replace(SCENARIO, effects=effects, units_per_minute=users)
    stream = traffic.stream(PRODUCTION)
    return simulate(PRODUCTION, stream, runs, np.random.default_rng(11), timedelta(hours=6))


@pytest.mark.parametrize("runs", RUNS)
def test_equal_versions_are_hardly_ever_rolled_back_and_never_promoted(runs: int) -> None:
    found = forecast(runs)
    assert found.endings.get(Status.ROLLED_BACK, 0.0) <= 0.05
    assert found.endings[Status.REJECTED] >= 0.95
    assert found.endings.get(Status.HELD, 0.0) <= 0.001  # of the sample ratio, for up to 7 days
    assert found.shares.max() == 25 * PERCENT  # nothing got past the stage that decides


@pytest.mark.parametrize("runs", RUNS)
def test_a_version_that_is_30_percent_slower_stays_in_the_canary(runs: int) -> None:
    found = forecast(runs, latency_ms=0.3)
    past = float((found.shares > 5 * PERCENT).mean())
    assert past <= 0.01
    assert found.endings[Status.ROLLED_BACK] >= 0.99 - 3 * monte_carlo_error(0.99, runs)
    assert np.nanquantile(found.ends, 0.99) < 30


@pytest.mark.parametrize(
    "runs", [pytest.param(200, id="200"), pytest.param(2_000, id="2000", marks=pytest.mark.slow)]
)
def test_few_users_break_no_ceiling_by_chance(runs: int) -> None:
    """A bare limit rolls back four in five: two broken clients among ten users are enough."""
    found = forecast(runs, users=100)
    assert found.endings.get(Status.ROLLED_BACK, 0.0) <= 0.05


@pytest.mark.parametrize("fault", [Fault.LOST_UNITS, Fault.OUTAGE, Fault.SILENCE])
@pytest.mark.parametrize("start", [0, 50, 100, 170])
@pytest.mark.parametrize("name", TEMPLATES)
def test_no_stage_of_a_template_stays_for_ever(name: str, start: int, fault: Fault) -> None:
    """A mismatch stands for a false alarm, too: neither goes away by itself."""
    goal, minutes = Goal(RATING, 0.0, tolerance=0.05), timedelta(minutes=15)
    stages = TEMPLATES[name].stages
    plan = replace(PRODUCTION, goal=goal, stages=stages, watch=ZERO, interval=minutes)
    trouble = Trouble(fault, timedelta(minutes=start), timedelta(days=100))
    traffic = replace(SCENARIO, effects={"rating": 0.1}, troubles=(trouble,))
    rng, longest = np.random.default_rng(5), timedelta(days=15)
    found = simulate(plan, traffic.stream(plan), 20, rng, longest)
    assert found.endings.keys() <= ENDED


def test_few_users_are_enough_to_see_a_crash() -> None:
    found = forecast(200, users=100, error=49.0)
    assert found.endings == {Status.ROLLED_BACK: 1.0}
    assert np.nanquantile(found.ends, 0.99) < 10
