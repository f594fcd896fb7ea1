import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from tests.server.analysis.simulation import monte_carlo_error
from tidegate_server.analysis.bernoulli import (
    RatioReading,
    Trials,
    ceiling_p_value,
    rate_difference,
    rate_interval,
    rate_ratio,
)
from tidegate_server.analysis.effects import Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable


def interval(successes: int, trials: int, alpha: float = 0.05) -> Interval:
    result = rate_interval(Trials(successes, trials), alpha)
    assert isinstance(result, Interval)
    return result


def p_value(successes: int, trials: int, ceiling: float) -> float:
    result = ceiling_p_value(Trials(successes, trials), ceiling)
    assert isinstance(result, float)
    return result


def ratio(control: int, treatment: int, share: float = 0.5, planned: float = 500) -> RatioReading:
    result = rate_ratio(control, treatment, share, planned)
    assert isinstance(result, RatioReading)
    return result


@pytest.mark.parametrize(("successes", "trials"), [(3, 10), (1, 400), (399, 400), (70, 1_000)])
def test_ends_have_the_evidence_that_rejects(successes: int, trials: int) -> None:
    """By numerical integration of the likelihood over Jeffreys' prior."""
    found = interval(successes, trials)
    for end in (found.lower, found.upper):
        likelihood = stats.binom(trials, end).pmf(successes)
        mixed, _ = integrate.quad(
            lambda rate: stats.binom.pmf(successes, trials, rate) * stats.beta.pdf(rate, 0.5, 0.5),
            0, 1, points=[successes / trials], limit=500,
        )  # fmt: skip
        assert mixed / likelihood == pytest.approx(20, rel=1e-5)


def test_no_successes_bound_from_above_and_no_failures_from_below() -> None:
    assert interval(0, 100).lower == 0.0
    assert 0.03 < interval(0, 100).upper < 0.1
    assert interval(100, 100).upper == 1.0
    assert interval(100, 100).lower == pytest.approx(1 - interval(0, 100).upper, rel=1e-9)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(1e-6, 0.5))
def test_intervals_hold_the_rate(successes: int, failures: int, alpha: float) -> None:
    trials = successes + failures
    result = rate_interval(Trials(successes, trials), alpha)
    if trials == 0:
        assert result == NotEstimable(Cause.NO_TRIALS)
        return
    assert isinstance(result, Interval)
    assert 0 <= result.lower <= successes / trials <= result.upper <= 1


def test_large_counts_have_narrow_intervals() -> None:
    found = interval(5 * 10**9, 10**12)
    deviation = math.sqrt(0.005 * 0.995 / 1e12)
    assert 4 * deviation < found.upper - 0.005 < 7 * deviation
    assert 4 * deviation < 0.005 - found.lower < 7 * deviation


def test_all_looks_cover_together() -> None:
    """Rates of 0.5 % and 30 %, looked at 60 times on the way to 3,000 trials."""
    rng = np.random.default_rng(1)
    runs = 400
    looks = np.unique(np.geomspace(1, 3_000, 60).astype(int))
    for rate in (0.005, 0.3):
        found = np.cumsum(rng.random((runs, 3_000)) < rate, axis=1)[:, looks - 1]
        missed = np.zeros(runs, bool)
        for look, trials in enumerate(looks.tolist()):
            numbers, where = np.unique(found[:, look], return_inverse=True)
            ends = [interval(int(number), trials) for number in numbers]
            missed |= np.array([not e.lower <= rate <= e.upper for e in ends])[where]
        assert missed.mean() <= 0.05 + 3 * monte_carlo_error(0.05, runs)


def test_a_ceiling_is_not_broken_by_a_rate_at_it() -> None:
    """At most 5 % of streams at the ceiling itself ever have p <= 5 %."""
    rng = np.random.default_rng(2)
    runs, ceiling = 400, 0.05
    looks = np.unique(np.geomspace(1, 4_000, 50).astype(int))
    found = np.cumsum(rng.random((runs, 4_000)) < ceiling, axis=1)[:, looks - 1]
    alarms = np.zeros(runs, bool)
    for look, n in enumerate(looks.tolist()):
        numbers, where = np.unique(found[:, look], return_inverse=True)
        alarms |= np.array([p_value(int(k), n, ceiling) <= 0.05 for k in numbers])[where]
    assert alarms.mean() <= 0.05 + 3 * monte_carlo_error(0.05, runs)


def test_a_ceiling_is_broken_soon_by_a_rate_far_above_it() -> None:
    assert p_value(10, 40, 0.05) < 0.01
    assert p_value(40, 40, 0.05) < 1e-30
    assert p_value(10**9, 10**9, 0.05) == sys.float_info.min


def test_a_rate_far_below_the_ceiling_is_no_evidence_at_all() -> None:
    assert p_value(0, 100, 0.05) == 1.0
    assert p_value(10**6, 10**12, 0.05) == 1.0


def test_differences_take_half_of_alpha_for_each_arm() -> None:
    result = rate_difference(Trials(50, 1_000), Trials(90, 1_000))
    left, right = interval(50, 1_000, 0.025), interval(90, 1_000, 0.025)
    assert result == Interval(right.lower - left.upper, right.upper - left.lower)
    assert rate_difference(Trials(0, 0), Trials(1, 2)) == NotEstimable(Cause.NO_TRIALS, "control")
    assert rate_difference(Trials(1, 2), Trials(0, 0)) == NotEstimable(Cause.NO_TRIALS, "treatment")


def test_a_ratio_and_its_p_value_agree() -> None:
    for treatment in range(60, 140, 4):
        reading = ratio(100, treatment)
        assert isinstance(reading.interval, Interval)
        excludes = not reading.interval.lower <= 0 <= reading.interval.upper
        assert excludes is (reading.p_value < 0.05)


def test_ratios_cover_with_uneven_arms_and_rates_that_change_in_time() -> None:
    """A 10 % arm with twice the control's rate, which itself doubles half way."""
    rng = np.random.default_rng(3)
    runs, steps = 150, 12
    rates = np.where(np.arange(steps) < steps // 2, 27, 54)
    control = rng.poisson(0.9 * rates, (runs, steps)).cumsum(axis=1)
    treatment = rng.poisson(0.1 * 2 * rates, (runs, steps)).cumsum(axis=1)
    missed = 0
    for left, right in zip(control, treatment, strict=True):
        ends = [ratio(int(c), int(t), 0.1).interval for c, t in zip(left, right, strict=True)]
        missed += any(isinstance(e, Interval) and not e.lower <= 1.0 <= e.upper for e in ends)
    assert missed / runs <= 0.05 + 3 * monte_carlo_error(0.05, runs)


def test_without_successes_in_the_control_there_is_no_ratio_but_a_p_value() -> None:
    reading = ratio(0, 30)
    assert reading.interval == NotEstimable(Cause.NO_SUCCESSES)
    assert reading.p_value < 0.01
    nothing = ratio(30, 0)
    assert isinstance(nothing.interval, Interval)
    assert nothing.interval.lower == -1.0
    assert rate_ratio(0, 0, 0.5, 100) == NotEstimable(Cause.NO_TRIALS)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="successes, trials"):
        Trials(2, 1)
    with pytest.raises(ValueError, match="alpha"):
        rate_interval(Trials(1, 2), 0.0)
    with pytest.raises(ValueError, match="ceiling"):
        ceiling_p_value(Trials(1, 2), 1.0)
    with pytest.raises(ValueError, match="treatment_share"):
        rate_ratio(1, 1, 0.0, 100)
    with pytest.raises(ValueError, match="control_successes"):
        rate_ratio(-1, 1, 0.5, 100)
    assert ceiling_p_value(Trials(0, 0), 0.5) == NotEstimable(Cause.NO_TRIALS)
