import numpy as np
import pytest

from tests.server.analysis.simulation import monte_carlo_error
from tidegate_server.analysis.comparison import Estimate
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.metrics import Statistic
from tidegate_server.analysis.novelty import DatedSample, effect_by_day
from tidegate_server.analysis.samples import Sample

DAYS = range(7)


def arm(rng: np.random.Generator, units: int, first: float, change: float) -> DatedSample:
    """Units with a level of their own, and an effect of `first` on day 0 that moves by `change`."""
    unit = np.tile(np.arange(units), len(DAYS))
    day = np.repeat(np.array(DAYS), units)
    values = np.tile(rng.normal(10, 2, units), len(DAYS)) + rng.normal(0, 1, unit.size)
    return DatedSample(Sample(unit, values + first + change * day, units), day)


def test_an_effect_that_wears_off_is_seen_to() -> None:
    rng = np.random.default_rng(1)
    found = effect_by_day(arm(rng, 800, 0.0, 0.0), arm(rng, 800, 1.4, -0.2), DAYS)
    first, last, trend = found.by_day[0], found.by_day[6], found.trend
    assert isinstance(first, Estimate)
    assert isinstance(last, Estimate)
    assert isinstance(trend, Estimate)
    assert first.interval.lower > 0.8
    assert last.interval.lower < 0.2 < last.interval.upper
    assert trend.interval.lower < -0.2 < trend.interval.upper
    assert trend.p_value < 1e-6


def test_a_steady_effect_has_no_trend() -> None:
    """Days of one unit are correlated; false alarms stay at 5 % and are not far below."""
    rng, runs = np.random.default_rng(2), 600
    alarms = 0
    for _ in range(runs):
        trend = effect_by_day(arm(rng, 60, 0.0, 0.0), arm(rng, 40, 1.0, 0.0), DAYS).trend
        assert isinstance(trend, Estimate)
        alarms += trend.p_value < 0.05
    assert abs(alarms / runs - 0.05) <= 3 * monte_carlo_error(0.05, runs)


def test_days_without_events_are_left_out() -> None:
    rng = np.random.default_rng(3)
    found = effect_by_day(arm(rng, 50, 0.0, 0.0), arm(rng, 50, 0.0, 0.0), [0, 3, 9], Statistic.P50)
    assert isinstance(found.by_day[1], Estimate)
    assert found.by_day[2] == NotEstimable(Cause.NO_EVENTS, "control")
    assert isinstance(found.trend, Estimate)


@pytest.mark.parametrize("days", [[3, 3], [2, 1], [-1, 0]])
def test_days_that_do_not_rise_are_refused(days: list[int]) -> None:
    """Twice the same day would have a trend of 0 / 0."""
    rng = np.random.default_rng(5)
    with pytest.raises(ValueError, match="days: must be"):
        effect_by_day(arm(rng, 50, 0.0, 0.0), arm(rng, 50, 0.0, 0.0), days)


@pytest.mark.parametrize("days", [[], [0], [8, 9]])
def test_a_trend_needs_two_days(days: list[int]) -> None:
    rng = np.random.default_rng(4)
    found = effect_by_day(arm(rng, 50, 0.0, 0.0), arm(rng, 50, 0.0, 0.0), days)
    assert found.trend == NotEstimable(Cause.TOO_FEW_DAYS)
