"""Ceilings are broken by harm, and not by chance: also where few units bring many events."""

from dataclasses import replace

import numpy as np
import pytest

from tests.server.domain.experiments.samples import PERCENT, PLAN
from tests.server.domain.experiments.test_findings import ATTEMPT, traffic
from tests.server.domain.experiments.traffic import V1, V2, Traffic, hashes
from tidegate.model import VariantKey
from tidegate_server.domain.experiments.assessment import exceeded
from tidegate_server.domain.experiments.ceilings import CERTAIN, MOST_ALIKE
from tidegate_server.domain.experiments.findings import findings
from tidegate_server.domain.experiments.look import CeilingReading
from tidegate_server.domain.experiments.plan import Ceiling, MetricName
from tidegate_server.domain.metrics import Statistic

ERROR = Ceiling(MetricName("error"), 0.05)
REQUESTS = 20


def reading(made: Traffic, ceiling: Ceiling = ERROR) -> CeilingReading:
    plan = replace(PLAN, guardrails=(ceiling,))
    found = findings(plan, ATTEMPT, made.flag, made.arms, made.windows, made.now)
    return found.ceilings[0]


def with_control(broken: int, units: int = 2_000) -> Traffic:
    """Return traffic in which so many of the control's units fail always, the others never."""
    made = traffic(share_ppm=5 * PERCENT)
    record(made, V1, units, broken)
    return made


def record(made: Traffic, variant: VariantKey, units: int, broken: int) -> None:
    values = np.repeat(np.arange(units) < broken, REQUESTS).astype(float)
    of_units = np.repeat(hashes(made.rng, units), REQUESTS)
    made.record(made.events(variant, {"error": (of_units, values)}, made.now))


@pytest.mark.parametrize(
    ("broken", "is_broken"), [(0, False), (1, False), (2, False), (6, True), (10, True)]
)
def test_two_broken_clients_of_ten_are_no_breach(broken: int, is_broken: bool) -> None:
    made = with_control(broken=20)
    record(made, V2, 10, broken)
    found = reading(made)
    assert found.value == broken / 10
    assert exceeded(ERROR, found) is is_broken


def test_many_units_see_a_small_excess() -> None:
    made = with_control(broken=20)
    record(made, V2, 2_000, 160)
    assert exceeded(ERROR, reading(made))


def test_slack_grows_with_the_likeness_of_a_units_events() -> None:
    apart, alike = with_control(broken=0), with_control(broken=20)
    values = (np.arange(2_000 * REQUESTS) % 100 == 0).astype(float)
    of_units = np.repeat(hashes(apart.rng, 2_000), REQUESTS)
    apart.record(apart.events(V1, {"error": (of_units, values)}, apart.now))
    for made in (apart, alike):
        record(made, V2, 10, 5)
    slack = CERTAIN * 0.5 / (10 * REQUESTS) ** 0.5
    assert reading(apart).slack == pytest.approx(slack, rel=0.1)
    assert reading(alike).slack == pytest.approx(slack * MOST_ALIKE**0.5)


@pytest.mark.parametrize("floor", [False, True])
def test_a_quantile_must_be_beyond_by_ranks(floor: bool) -> None:
    ceiling = Ceiling(MetricName("latency_ms", Statistic.P95), 100.0, floor=floor)
    made = traffic(share_ppm=50 * PERCENT)
    values = np.linspace(2, 200, 100)
    made.record(made.events(V2, {"latency_ms": (hashes(made.rng, 100), values)}, made.now))
    found = reading(made, ceiling)
    assert found.value == pytest.approx(190, rel=0.04)
    ranks = CERTAIN * (0.05 * 0.95 / 100) ** 0.5 * 200
    assert ranks * 0.5 < found.slack < ranks * MOST_ALIKE**0.5 * 1.5
    assert exceeded(ceiling, found) is not floor


def test_figures_that_never_differ_have_no_slack() -> None:
    made = with_control(broken=20)
    record(made, V2, 3, 3)
    assert reading(made).slack == 0.0
    assert exceeded(ERROR, reading(made)) is (ERROR.least_events <= 3 * REQUESTS)


def test_at_the_limit_nothing_is_exceeded() -> None:
    assert not exceeded(ERROR, CeilingReading(0.05, 1_000))
    assert exceeded(ERROR, CeilingReading(0.06, 1_000, 0.009))
    assert not exceeded(ERROR, CeilingReading(0.06, 1_000, 0.011))
    least = replace(ERROR, floor=True)
    assert exceeded(least, CeilingReading(0.04, 1_000, 0.009))
    assert not exceeded(least, CeilingReading(0.04, 1_000, 0.011))
