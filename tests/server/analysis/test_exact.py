import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from tidegate_server.analysis.effects import Alternative, Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.exact import (
    RateRatio,
    exact_proportion,
    exact_rate,
    exact_rate_ratio,
)


def interval(result: Interval | NotEstimable) -> tuple[float, float]:
    assert isinstance(result, Interval)
    return result.lower, result.upper


@pytest.mark.parametrize(("successes", "units"), [(0, 10), (3, 10), (10, 10), (5, 10**6)])
def test_proportions_agree_with_scipy_and_statsmodels(successes: int, units: int) -> None:
    found = interval(exact_proportion(successes, units))
    scipys = stats.binomtest(successes, units).proportion_ci(method="exact")
    assert found == pytest.approx((scipys.low, scipys.high), rel=1e-6)
    assert found == pytest.approx(proportion_confint(successes, units, method="beta"), rel=1e-9)


def test_rates_agree_with_garwoods_table() -> None:
    """Garwood 1936: 0 events 0 to 3.689, 3 events 0.619 to 8.767, 10 events 4.795 to 18.390."""
    assert interval(exact_rate(0, 1.0)) == pytest.approx((0.0, 3.689), abs=5e-4)
    assert interval(exact_rate(3, 1.0)) == pytest.approx((0.619, 8.767), abs=5e-4)
    assert interval(exact_rate(10, 2.0)) == pytest.approx((4.795 / 2, 18.390 / 2), abs=5e-4)
    low, high = stats.chi2.ppf(0.025, 6) / 2, stats.chi2.ppf(0.975, 8) / 2
    assert interval(exact_rate(3, 1.0)) == pytest.approx((low, high), rel=1e-9)


@pytest.mark.parametrize("alternative", Alternative)
def test_two_rates_are_a_binomial(alternative: Alternative) -> None:
    result = exact_rate_ratio((12, 300.0), (4, 200.0), alternative=alternative)
    assert isinstance(result, RateRatio)
    sides = {
        each: stats.binomtest(4, 16, 0.4, alternative=each).pvalue for each in ("less", "greater")
    }
    expected = {
        Alternative.LESS: sides["less"],
        Alternative.GREATER: sides["greater"],
        Alternative.TWO_SIDED: 2 * min(sides.values()),
    }
    assert result.p_value == pytest.approx(expected[alternative], rel=1e-9)
    assert result.ratio == pytest.approx(0.5)


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.1, 10), st.floats(0.1, 10))
def test_the_p_value_says_what_the_interval_says(
    left: int, right: int, left_exposure: float, right_exposure: float
) -> None:
    result = exact_rate_ratio((left, left_exposure), (right, right_exposure))
    if isinstance(result, NotEstimable):
        assert left + right == 0
        return
    upper = math.inf if isinstance(result.upper, NotEstimable) else result.upper
    assert (result.p_value < 0.05) is not (result.lower <= 1 <= upper)
    assert sys.float_info.min <= result.p_value <= 1


def test_without_events_in_the_control_there_is_no_ratio() -> None:
    result = exact_rate_ratio((0, 100.0), (7, 100.0))
    assert isinstance(result, RateRatio)
    assert result.ratio == result.upper == NotEstimable(Cause.ZERO_CONTROL)
    assert result.lower > 1
    assert result.p_value == pytest.approx(2 * 0.5**7)


def test_what_cannot_be_said() -> None:
    assert exact_proportion(0, 0) == NotEstimable(Cause.NO_UNITS)
    assert exact_rate(0, 0.0) == NotEstimable(Cause.NO_UNITS)
    assert exact_rate_ratio((0, 1.0), (0, 1.0)) == NotEstimable(Cause.NO_EVENTS)
    assert exact_rate_ratio((1, 0.0), (1, 1.0)) == NotEstimable(Cause.NO_UNITS)
