import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tidegate_server.analysis.comparison import Estimate, compare, relative_interval
from tidegate_server.analysis.effects import Interval, log_ratio
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.moments import cells_of


def figure(
    value: float, error: float, above: float | None = None, *, clusters: int = 200
) -> Figure:
    return Figure(
        value,
        error,
        error if above is None else above,
        np.zeros(clusters),
        np.ones(clusters, np.bool_),
        clusters,
    )


def unit_means(means: np.ndarray) -> Figure:
    result = mean_figure(cells_of(np.arange(means.size), means))
    assert isinstance(result, Figure)
    return result


def estimate(control: Figure, treatment: Figure) -> Estimate:
    result = compare(control, treatment)
    assert isinstance(result, Estimate)
    return result


@pytest.mark.parametrize(("left", "right"), [(200, 200), (250, 12), (2, 3)])
def test_agrees_with_welchs_test_on_unit_means(left: int, right: int) -> None:
    rng = np.random.default_rng(right)
    control, treatment = rng.lognormal(0, 1, left), rng.lognormal(0.2, 0.6, right)
    result = estimate(unit_means(control), unit_means(treatment))
    welch = stats.ttest_ind(treatment, control, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert result.difference == pytest.approx(treatment.mean() - control.mean(), rel=1e-9)
    assert result.p_value == pytest.approx(welch.pvalue, rel=1e-9)
    assert result.degrees == pytest.approx(welch.df, rel=1e-9)
    assert result.interval.lower == pytest.approx(interval.low, rel=1e-9)
    assert result.interval.upper == pytest.approx(interval.high, rel=1e-9)
    assert result.relative_difference == pytest.approx(treatment.mean() / control.mean() - 1)


def test_relative_interval_is_the_exponential_of_that_of_the_log_ratio() -> None:
    result = relative_interval(log_ratio(figure(10.0, 0.5), figure(12.0, 0.3)), 10.0)
    assert isinstance(result, Interval)
    error = math.hypot(0.05, 0.025)
    degrees = 199 * error**4 / (0.05**4 + 0.025**4)
    reach = stats.t.ppf(0.975, degrees) * error
    assert result.lower == pytest.approx(1.2 * math.exp(-reach) - 1, rel=1e-9)
    assert result.upper == pytest.approx(1.2 * math.exp(reach) - 1, rel=1e-9)


def test_negative_figures_mirror_positive_ones() -> None:
    positive = estimate(figure(10.0, 0.5, 0.7), figure(12.0, 0.3, 0.2))
    negative = estimate(figure(-10.0, 0.7, 0.5), figure(-12.0, 0.2, 0.3))
    assert negative.difference == -positive.difference
    assert negative.relative_difference == pytest.approx(-0.2)
    assert isinstance(positive.relative_interval, Interval)
    assert isinstance(negative.relative_interval, Interval)
    assert negative.relative_interval.lower == pytest.approx(-positive.relative_interval.upper)
    assert negative.relative_interval.upper == pytest.approx(-positive.relative_interval.lower)
    assert negative.p_value == pytest.approx(positive.p_value)


@pytest.mark.parametrize(("control", "treatment"), [(10.0, 10.7), (10.7, 10.0)])
@pytest.mark.parametrize("share", [0.9, 1.1])
def test_the_p_value_says_what_the_interval_says(
    control: float, treatment: float, share: float
) -> None:
    """Where errors differ by side, only those towards 0 decide."""
    critical = estimate(figure(0.0, 1.0), figure(0.0, 1.0)).interval.upper / math.sqrt(2)
    error = share * 0.7 / critical
    far = 5.0
    lower = figure(min(control, treatment), far, error / math.sqrt(2))
    upper = figure(max(control, treatment), error / math.sqrt(2), far)
    arms = (lower, upper) if control < treatment else (upper, lower)
    result = estimate(*arms)
    excludes_zero = not result.interval.lower <= 0 <= result.interval.upper
    assert excludes_zero is (result.p_value < 0.05)
    assert excludes_zero is (share < 1)


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        (figure(1.0, 0.0), figure(1.0, 0.0)),
        (figure(1.0, 0.0), figure(2.0, 0.0)),
        (figure(1.0, 0.0), figure(2.0, 0.0, 0.5)),
        (figure(2.0, 0.0), figure(1.0, 0.5, 0.0)),
    ],
)
def test_without_variation_nothing_is_said(control: Figure, treatment: Figure) -> None:
    assert compare(control, treatment) == NotEstimable(Cause.ZERO_VARIANCE)


def test_variation_in_one_arm_is_enough() -> None:
    result = estimate(figure(0.0, 0.0), figure(0.01, 0.01))
    assert result.degrees == pytest.approx(199)
    assert result.relative_difference == NotEstimable(Cause.ZERO_CONTROL)
    assert result.relative_interval == NotEstimable(Cause.NOT_POSITIVE)


def test_no_errors_in_the_treatment_is_a_whole_less() -> None:
    result = estimate(figure(0.01, 0.001), figure(0.0, 0.0))
    assert result.relative_difference == -1.0
    assert result.relative_interval == NotEstimable(Cause.NOT_POSITIVE)


def test_no_difference_has_p_one() -> None:
    assert estimate(figure(1.0, 0.1), figure(1.0, 0.1)).p_value == 1.0


def test_a_p_value_is_never_zero() -> None:
    assert estimate(figure(1.0, 1e-9), figure(2.0, 1e-9)).p_value == sys.float_info.min


def test_too_large_for_floating_point() -> None:
    assert compare(figure(1.0, 1e308), figure(2.0, 1e308)) == NotEstimable(Cause.OVERFLOW)
    wide = relative_interval(log_ratio(figure(1e-5, 1.0), figure(1.0, 1.0)), 1e-5)
    assert wide == NotEstimable(Cause.OVERFLOW)


numbers = st.floats(-1e12, 1e12)
errors = st.floats(0, 1e12)


@given(numbers, errors, errors, numbers, errors, errors, st.integers(2, 256))
def test_every_figure_is_finite(
    control: float, c_below: float, c_above: float, treatment: float, below: float, above: float,
    clusters: int,
) -> None:  # fmt: skip
    result = compare(
        figure(control, c_below, c_above, clusters=clusters), figure(treatment, below, above)
    )
    if isinstance(result, NotEstimable):
        return
    assert result.interval.lower <= result.difference <= result.interval.upper
    assert 0 < result.p_value <= 1
    assert 0 < result.degrees < math.inf
    for each in (result.interval.lower, result.interval.upper, result.difference):
        assert math.isfinite(each)
    if isinstance(result.relative_difference, float):
        assert math.isfinite(result.relative_difference)
        assert math.copysign(1, result.relative_difference) == math.copysign(1, result.difference)
    if isinstance(result.relative_interval, Interval):
        assert -math.inf < result.relative_interval.lower <= result.relative_interval.upper
        assert result.relative_interval.upper < math.inf
