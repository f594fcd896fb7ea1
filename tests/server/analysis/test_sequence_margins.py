"""What the ends of a sequence promise on Brownian motion, and what they cost in power."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

from tidegate_server.analysis.group_sequential import (
    LIMIT,
    Boundaries,
    boundaries,
    crossing,
)
from tidegate_server.analysis.sequence_margins import (
    Horizon,
    log_chance_to_reach,
    margin,
    one_sided_margin,
    one_sided_margins,
    sequence_p_value,
)
from tidegate_server.analysis.spending import Spending, obrien_fleming, pocock

OPEN, PLANNED = Horizon.OPEN, Horizon.PLANNED
HUNDRED = tuple((look + 1) / 100 for look in range(100))


def looked_at(fractions: tuple[float, ...], horizon: Horizon, *, two_sided: bool) -> Boundaries:
    """Return a sequence at 5 %, looked at so often, as boundaries."""
    reach = margin if two_sided else one_sided_margin
    critical = tuple(min(reach(each, 0.05, horizon), LIMIT) for each in fractions)
    return Boundaries(fractions, critical, (0.0,) * len(fractions), two_sided)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("time", [40, 5_000, 10**9])
def test_open_margins_are_those_of_the_paper(alpha: float, time: int) -> None:
    """Eq. 9 and 134 as they are printed, with rho from eq. 161 for 5,000 observations."""
    planned, deviation = 5_000, 2.5
    error = deviation / math.sqrt(time)

    def rho(level: float) -> float:
        return math.sqrt((-2 * math.log(level) + math.log(-2 * math.log(level) + 1)) / planned)

    r = rho(alpha) ** 2
    two_sided = deviation * math.sqrt(
        2 * (time * r + 1) / (time**2 * r) * math.log(math.sqrt(time * r + 1) / alpha)
    )
    assert margin(time / planned, alpha, OPEN) * error == pytest.approx(two_sided, rel=1e-9)
    r = rho(2 * alpha) ** 2
    one_sided = deviation * math.sqrt(
        2 * (time * r + 1) / (time**2 * r) * math.log1p(math.sqrt(time * r + 1) / (2 * alpha))
    )
    found = one_sided_margin(time / planned, alpha, OPEN) * error
    assert found == pytest.approx(one_sided, rel=1e-9)


def test_agrees_with_confseq() -> None:
    """Howard's reference values of normal_mixture_bound(100, 0.05, 100, 0.05), two-sided and
    one-sided (gostevehoward/confseq, test of uniform_boundaries): tuned exactly, where eq. 161 is
    near the optimum. So our bound at the same time is as good to 0.1 %."""
    assert 10 * margin(1.0, 0.05, OPEN) == pytest.approx(30.35209, rel=1e-3)
    assert 10 * one_sided_margin(1.0, 0.05, OPEN) == pytest.approx(27.66071, rel=1e-2)
    fraction = 100 / 12.60056 / _information(0.05)
    assert 10 * margin(fraction, 0.05, OPEN) == pytest.approx(30.35209, abs=1e-5)


def _information(alpha: float) -> float:
    return -2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_an_open_interval_is_tightest_at_the_planned_size(alpha: float) -> None:
    """In time, at a constant deviation: among all tunings, this one is best at the plan."""
    best = optimize.minimize_scalar(
        lambda log_scale: margin(math.exp(log_scale), alpha, OPEN), bounds=(-3, 3), method="bounded"
    )
    assert margin(1.0, alpha, OPEN) == pytest.approx(best.fun, rel=1e-3)
    exact = -special.lambertw(-(alpha**2) / math.e, -1).real - 1
    assert _information(alpha) == pytest.approx(exact, rel=0.1)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 0.4), st.sampled_from(Horizon))
def test_p_values_invert_the_margins(fraction: float, alpha: float, horizon: Horizon) -> None:
    reach = margin(fraction, alpha, horizon)
    assert sequence_p_value(reach, fraction, alpha, horizon) == pytest.approx(alpha, rel=1e-6)
    assert sequence_p_value(0.99 * reach, fraction, alpha, horizon) > alpha
    assert sequence_p_value(0.0, fraction, alpha, horizon) == 1.0
    assert sequence_p_value(1e100, fraction, alpha, horizon) == sys.float_info.min


@pytest.mark.parametrize("horizon", Horizon)
def test_many_fractions_at_once(horizon: Horizon) -> None:
    fractions = np.array([1e-3, 0.2, 1.0, 1.1, 3.0])
    alone = [one_sided_margin(each, 0.05, horizon) for each in fractions.tolist()]
    assert one_sided_margins(fractions, 0.05, horizon) == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("horizon", Horizon)
@pytest.mark.parametrize("alpha", [0.05, 0.005, 1e-9])
def test_a_smaller_alpha_is_wider_and_one_side_is_tighter_than_two(
    horizon: Horizon, alpha: float
) -> None:
    for fraction in (0.01, 0.1, 0.5, 1.0, 1.05, 2.0, 100.0):
        one, two = one_sided_margin(fraction, alpha, horizon), margin(fraction, alpha, horizon)
        assert one < two < one_sided_margin(fraction, alpha / 3, horizon)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 2.14, 4.0])
def test_the_chance_to_reach_the_late_boundary(level: float) -> None:
    """By numerical integration over where the motion is at the planned size."""

    def reaches_later(at: float) -> float:
        density = stats.norm.pdf(at) - stats.norm.pdf(2 * level - at)
        return float(density * math.exp(-4 * level * (level - at)))

    later, _ = integrate.quad(reaches_later, level - 12, level, limit=200)
    expected = 2 * stats.norm.sf(level) + later
    assert math.exp(log_chance_to_reach(level)) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("two_sided", [False, True])
def test_a_planned_end_keeps_alpha_over_all_looks(*, two_sided: bool) -> None:
    """Over 100 looks up to the plan, and more up to four times of it."""
    fractions = (*HUNDRED, *np.geomspace(1.01, 4, 50).tolist())
    chances = crossing(looked_at(fractions, PLANNED, two_sided=two_sided), 0.0)
    assert 0.028 < chances[99] < 0.035
    assert chances[99] < chances[-1] < 0.05


@pytest.mark.parametrize(
    ("two_sided", "spending", "drift", "power", "planned", "unplanned"),
    [
        (False, obrien_fleming, 2.570, 0.80, 0.91, 0.68),
        (False, obrien_fleming, 3.019, 0.90, 0.95, 0.78),
        (False, pocock, 2.831, 0.80, 1.00, 0.79),
        (False, pocock, 3.295, 0.90, 1.01, 0.87),
        (True, obrien_fleming, 2.877, 0.80, 0.92, 0.69),
        (True, obrien_fleming, 3.325, 0.90, 0.95, 0.79),
        (True, pocock, 3.171, 0.80, 1.02, 0.82),
        (True, pocock, 3.632, 0.90, 1.01, 0.89),
    ],
)
def test_power_beside_group_sequential_tests(
    *,
    two_sided: bool,
    spending: Spending,
    drift: float,
    power: float,
    planned: float,
    unplanned: float,
) -> None:
    """100 looks for all, at the same alpha, sides and maximum size, by numerical integration.

    drift: the effect at which the group-sequential test has this power. The last two: the power of
    sequences with a planned and with an open end, as a part of it.
    """
    design = boundaries(HUNDRED, 1.0, spending=spending, two_sided=two_sided)
    assert isinstance(design, Boundaries)
    assert crossing(design, drift)[-1] == pytest.approx(power, abs=1e-3)
    found = [
        crossing(looked_at(HUNDRED, each, two_sided=two_sided), drift)[-1] / power
        for each in (PLANNED, OPEN)
    ]
    assert found == pytest.approx((planned, unplanned), abs=0.006)


@pytest.mark.parametrize(
    ("power", "planned", "unplanned"), [(0.8, 0.70, 0.51), (0.9, 0.83, 0.67), (0.95, 0.90, 0.78)]
)
def test_power_beside_a_fixed_test(power: float, planned: float, unplanned: float) -> None:
    """One-sided, at the maximum size: what looking whenever one likes costs."""
    drift = stats.norm.isf(0.05) + stats.norm.ppf(power)
    for horizon, expected in ((PLANNED, planned), (OPEN, unplanned)):
        found = crossing(looked_at(HUNDRED, horizon, two_sided=False), drift)[-1]
        assert found == pytest.approx(expected, abs=0.006)


def test_great_harm_is_seen_sooner_with_a_planned_end() -> None:
    """At four times what a fixed test finds with power 0.9: the size by which half have seen it."""
    drift = 4 * (stats.norm.isf(0.05) + stats.norm.isf(0.1))
    sizes = []
    for horizon in (PLANNED, OPEN):
        chances = crossing(looked_at(HUNDRED, horizon, two_sided=False), drift)
        sizes.append(next(f for f, each in zip(HUNDRED, chances, strict=True) if each >= 0.5))
    assert sizes == [0.08, 0.10]


@pytest.mark.parametrize(
    ("icc", "requests", "planned", "unplanned"), [(0.3, 5, 0.044, 0.016), (0.05, 5, 0.068, 0.023)]
)
def test_what_returning_users_cost_when_no_new_ones_come(
    icc: float, requests: int, planned: float, unplanned: float
) -> None:
    """The worst there is: units come up to 95 % of the plan, with so many requests each.

    Then no more come, but those that are there bring another 55, and it is looked at after each.
    Information grows while its measure, the units, stands still.
    """
    rng, runs, reached = np.random.default_rng(5), 40_000, 0.95
    variance = icc + (1 - icc) / requests
    fractions = np.linspace(0.02, reached, 60)
    steps = rng.standard_normal((runs, fractions.size)) * np.sqrt(np.diff(fractions, prepend=0))
    walk = np.cumsum(steps, axis=1)
    looks = [(walk / np.sqrt(fractions), fractions)]
    total = walk[:, -1] * math.sqrt(variance)
    between = total * icc / variance + rng.standard_normal(runs) * math.sqrt(
        reached * icc * (1 - icc / variance)
    )
    own = (total - between) * requests
    for number in range(requests + 1, 61):
        own += rng.standard_normal(runs) * math.sqrt(reached * (1 - icc))
        error = math.sqrt(reached * (icc + (1 - icc) / number))
        looks.append((((between + own / number) / error)[:, None], np.array([reached])))
    for horizon, expected in ((PLANNED, planned), (OPEN, unplanned)):
        alarms = np.zeros(runs, np.bool_)
        for statistic, at in looks:
            alarms |= (statistic >= one_sided_margins(at, 0.05, horizon)).any(axis=1)
        assert alarms.mean() == pytest.approx(expected, abs=0.004)
