import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from tidegate_server.analysis.aggregates import GROUPS, Histogram
from tidegate_server.analysis.comparison import compare
from tidegate_server.analysis.effects import Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, cluster_error
from tidegate_server.analysis.histogram import histogram_of
from tidegate_server.analysis.quantiles import quantile_figure, quantile_figures

LATENCIES = np.random.default_rng(1).lognormal(4, 1, 20_000)


def figure(histogram: Histogram, share: float, *, exact: bool = False) -> Figure:
    result = quantile_figure(histogram, share, exact=exact)
    assert isinstance(result, Figure)
    return result


def spread(values: np.ndarray) -> Histogram:
    group = np.random.default_rng(values.size).integers(0, GROUPS, values.size)
    return histogram_of(group, values)


def test_several_quantiles_at_once_are_those_asked_for_one_by_one() -> None:
    histogram, shares = spread(LATENCIES), (0.5, 0.9, 0.999, 0.99999)
    together = quantile_figures(histogram, shares, exact=False)
    for share, found in zip(shares, together, strict=True):
        alone = quantile_figure(histogram, share, exact=False)
        if isinstance(alone, NotEstimable):
            assert found == alone
            continue
        assert isinstance(found, Figure)
        assert (found.value, found.below, found.above) == (alone.value, alone.below, alone.above)
        assert np.array_equal(found.influence, alone.influence)
    assert isinstance(together[-1], NotEstimable)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.99])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_independent_events_have_the_asymptotic_error(share: float, sign: float) -> None:
    """sqrt(p (1 - p) / n) / f(x), within what 63 degrees of freedom allow (four deviations)."""
    normal = stats.norm(100, 10)
    number = 100_000
    result = figure(spread(sign * normal.rvs(number, random_state=2)), share)
    quantile = normal.ppf(share if sign > 0 else 1 - share)
    expected = math.sqrt(share * (1 - share) / number) / normal.pdf(quantile)
    assert result.standard_error == pytest.approx(expected, rel=4 / math.sqrt(2 * 63))
    assert abs(result.value - sign * quantile) < 4 * expected
    assert cluster_error(result.influence, result.occupied) == pytest.approx(result.standard_error)


def test_clusters_count_not_events() -> None:
    """The same events ten times over say no more, if each group has its own ten times."""
    group = np.random.default_rng(3).integers(0, GROUPS, LATENCIES.size)
    once, ten = (histogram_of(np.tile(group, n), np.tile(LATENCIES, n)) for n in (1, 10))
    assert figure(ten, 0.95).standard_error == pytest.approx(figure(once, 0.95).standard_error)


def test_a_skewed_tail_is_less_certain_above_than_below() -> None:
    skewed = stats.lognorm(1).ppf((np.arange(2_000) + 0.5) / 2_000)
    result = figure(spread(skewed), 0.95)
    assert result.above > 1.1 * result.below


def test_a_value_that_most_share_is_known_exactly() -> None:
    ratings = np.repeat([1.0, 4.0, 5.0], [2_000, 3_000, 5_000])
    result = figure(spread(ratings), 0.4, exact=True)
    assert (result.value, result.standard_error) == (4.0, 0.0)
    assert compare(result, result) == NotEstimable(Cause.ZERO_VARIANCE)


def test_between_two_values_the_interval_holds_both() -> None:
    ratings = np.repeat([1.0, 5.0], [5_000, 5_000])
    result = figure(spread(ratings), 0.5, exact=True)
    critical = stats.t.ppf(0.975, 63)
    interval = (result.value - critical * result.below, result.value + critical * result.above)
    assert interval == pytest.approx((1.0, 5.0))


def test_arms_on_two_sides_of_a_gap_are_not_told_apart() -> None:
    """A density would not exist here, and its estimate would make any error."""
    left = figure(spread(np.repeat([10.0, 90.0], [5_010, 4_990])), 0.5)
    right = figure(spread(np.repeat([10.0, 90.0], [4_990, 5_010])), 0.5)
    assert right.value > 8 * left.value
    result = compare(left, right)
    assert not isinstance(result, NotEstimable)
    assert result.p_value > 0.05
    assert result.interval.lower < 0 < result.interval.upper


def test_zeros_are_exactly_zero() -> None:
    result = figure(spread(np.repeat([0.0, 3.14], [9_000, 1_000])), 0.5)
    assert (result.value, result.standard_error) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("values", "share", "cause"),
    [
        (np.array([]), 0.5, Cause.NO_EVENTS),
        (np.array([1.0]), 0.5, Cause.TOO_FEW_CELLS),
        (np.arange(1.0, 60.0), 0.99, Cause.TAIL_TOO_SMALL),
    ],
)
def test_what_cannot_be_said(values: np.ndarray, share: float, cause: Cause) -> None:
    assert quantile_figure(spread(values), share, exact=False) == NotEstimable(cause)


@given(
    hnp.arrays(
        np.float64,
        st.integers(0, 80),
        elements=st.floats(-1e100, 1e100) | st.integers(-3, 3) | st.just(0.0),
    ),
    st.sampled_from([0.5, 0.95, 0.99]),
    st.booleans(),
)
def test_every_figure_is_finite(values: np.ndarray, share: float, exact: bool) -> None:
    histogram = histogram_of(np.arange(values.size) % GROUPS, values)
    result = quantile_figure(histogram, share, exact=exact)
    if isinstance(result, NotEstimable):
        return
    assert math.isfinite(result.value)
    assert 0 <= result.below < math.inf
    assert 0 <= result.above < math.inf
    assert np.isfinite(result.influence).all()
    other = compare(result, figure(spread(LATENCIES[:5_000]), share))
    assert isinstance(other, NotEstimable) or isinstance(other.interval, Interval)
