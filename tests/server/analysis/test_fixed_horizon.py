"""Figures from moments, compared: against scipy, statsmodels and published examples."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.effects import Alternative, Effect
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import NORMAL, Figure
from tidegate_server.analysis.means import mean_of_moments, ratio_of_moments, unit_mean_figure
from tidegate_server.analysis.rates import proportion_of_moments
from tidegate_server.analysis.samples import UnitTotals

ALTERNATIVES = {
    Alternative.TWO_SIDED: "two-sided",
    Alternative.GREATER: "larger",
    Alternative.LESS: "smaller",
}


def moments(values: np.ndarray) -> Figure:
    result = mean_of_moments(values.size, float(values.mean()), float(values.var(ddof=1)))
    assert isinstance(result, Figure)
    return result


def share(successes: int, units: int) -> Figure:
    result = proportion_of_moments(successes, units)
    assert isinstance(result, Figure)
    return result


def estimate(control: Figure, treatment: Figure, **options: object) -> Estimate:
    result = compare(control, treatment, **options)  # type: ignore[arg-type]
    assert isinstance(result, Estimate)
    return result


@pytest.mark.parametrize("alternative", Alternative)
def test_welch_from_moments_agrees_with_statsmodels(alternative: Alternative) -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.normal(3, 1, 500), rng.normal(3.1, 2, 40)
    result = estimate(moments(control), moments(treatment), alternative=alternative)
    reference = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    _, p_value, degrees = reference.ttest_ind(ALTERNATIVES[alternative], usevar="unequal")
    interval = reference.tconfint_diff(0.05, usevar="unequal")
    assert result.p_value == pytest.approx(p_value, rel=1e-9)
    assert result.degrees == pytest.approx(degrees, rel=1e-9)
    assert result.interval.lower == pytest.approx(interval[0], rel=1e-9)
    assert result.interval.upper == pytest.approx(interval[1], rel=1e-9)


def test_one_sided_bounds_agree_with_statsmodels() -> None:
    rng = np.random.default_rng(2)
    control, treatment = rng.normal(3, 1, 50), rng.normal(3.1, 2, 40)
    effect = estimate(moments(control), moments(treatment)).effect
    reference = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    lower, _ = reference.tconfint_diff(0.05, "larger", usevar="unequal")
    _, upper = reference.tconfint_diff(0.05, "smaller", usevar="unequal")
    assert effect.lower_bound(0.05) == pytest.approx(lower, rel=1e-9)
    assert effect.upper_bound(0.05) == pytest.approx(upper, rel=1e-9)


def test_a_published_example() -> None:
    """NIST's Engineering Statistics Handbook, §1.3.5.3: miles per gallon of American and Japanese
    cars, t = -12.946 at 136.875 degrees where variances are unequal.
    """
    usa, japan = (
        mean_of_moments(n, mean, sd**2)
        for n, mean, sd in ((249, 20.14458, 6.414700), (79, 30.48101, 6.107710))
    )
    assert isinstance(usa, Figure)
    assert isinstance(japan, Figure)
    result = estimate(japan, usa)
    statistic = result.difference / result.effect.standard_error
    assert statistic == pytest.approx(-12.94627, abs=2e-5)
    assert result.degrees == pytest.approx(136.8750, abs=2e-4)


@pytest.mark.parametrize(
    ("control", "treatment"), [((56, 70), (48, 80)), ((9, 10), (3, 10)), ((10, 10), (0, 20))]
)
def test_proportions_have_newcombes_interval(
    control: tuple[int, int], treatment: tuple[int, int]
) -> None:
    """Newcombe 1998, table II, method 10: 56/70 - 48/80 is 0.0524 to 0.3339."""
    result = estimate(share(*control), share(*treatment))
    low, high = confint_proportions_2indep(*treatment, *control, method="newcomb", compare="diff")
    assert result.interval.lower == pytest.approx(low, rel=1e-9)
    assert result.interval.upper == pytest.approx(high, rel=1e-9)
    if control == (56, 70):
        assert result.interval.lower == pytest.approx(-0.3339, abs=5e-5)
        assert result.interval.upper == pytest.approx(-0.0524, abs=5e-5)


def test_proportions_as_means_have_the_unpooled_z_test() -> None:
    """In large samples; the interval is statsmodels' "wald"."""
    arms = [(5_600, 70_000), (4_800, 80_000)]
    figures = [mean_of_moments(n, x / n, x / n * (1 - x / n) * n / (n - 1)) for x, n in arms]
    assert isinstance(figures[0], Figure)
    assert isinstance(figures[1], Figure)
    result = estimate(figures[0], figures[1])
    low, high = confint_proportions_2indep(*arms[1], *arms[0], method="wald", compare="diff")
    assert (result.interval.lower, result.interval.upper) == pytest.approx((low, high), rel=2e-4)
    error = math.sqrt(sum(x / n * (1 - x / n) / (n - 1) for x, n in arms))
    assert result.effect.standard_error == pytest.approx(error, rel=1e-9)


def test_ratio_from_moments_is_that_from_units() -> None:
    rng = np.random.default_rng(3)
    count = rng.geometric(0.2, 3_000)
    total = count * rng.lognormal(1, 0.5, 3_000)
    by_unit = unit_mean_figure(UnitTotals(count, total))
    covariance = np.cov(total, count)
    short = ratio_of_moments(
        3_000,
        (total.mean(), covariance[0, 0]),
        (float(count.mean()), covariance[1, 1]),
        covariance[0, 1],
    )
    assert isinstance(by_unit, Figure)
    assert isinstance(short, Figure)
    assert short.value == pytest.approx(by_unit.value, rel=1e-12)
    assert short.standard_error == pytest.approx(by_unit.standard_error, rel=1e-9)
    assert short.degrees == by_unit.degrees


@pytest.mark.parametrize(
    ("figure", "cause"),
    [
        (mean_of_moments(0, 0.0, 0.0), Cause.TOO_FEW_UNITS),
        (mean_of_moments(1, 3.0, 0.0), Cause.TOO_FEW_UNITS),
        (mean_of_moments(5, math.inf, 1.0), Cause.OVERFLOW),
        (proportion_of_moments(1, 1), Cause.TOO_FEW_UNITS),
        (ratio_of_moments(1, (1.0, 1.0), (1.0, 0.0), 0.0), Cause.TOO_FEW_UNITS),
        (ratio_of_moments(9, (1.0, 1.0), (0.0, 0.0), 0.0), Cause.NO_EVENTS),
        (ratio_of_moments(9, (1e200, 1e308), (1e-200, 1e308), 0.0), Cause.OVERFLOW),
    ],
)
def test_what_cannot_be_said(figure: Figure | NotEstimable, cause: Cause) -> None:
    assert figure == NotEstimable(cause)


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="variance"):
        mean_of_moments(5, 0.0, -1.0)
    with pytest.raises(ValueError, match="successes"):
        proportion_of_moments(6, 5)


def test_huge_counts_and_a_large_mean() -> None:
    control, treatment = (mean_of_moments(10**12, m, 1.0) for m in (1e9, 1e9 + 1e-5))
    assert isinstance(control, Figure)
    assert isinstance(treatment, Figure)
    result = estimate(control, treatment)
    assert result.effect.standard_error == pytest.approx(math.sqrt(2) * 1e-6, rel=1e-9)
    assert result.p_value == pytest.approx(
        2 * stats.norm.sf(result.difference / (math.sqrt(2) * 1e-6)), rel=1e-6
    )
    assert estimate(share(10**12 - 1, 10**12), share(5, 10**12)).interval.upper < 0


def test_a_ratio_of_constants_has_no_error() -> None:
    figure = ratio_of_moments(100, (0.3, 0.09), (0.1, 0.01), 0.03)
    assert isinstance(figure, Figure)
    assert figure.standard_error == 0.0
    assert compare(figure, figure) == NotEstimable(Cause.ZERO_VARIANCE)


@pytest.mark.parametrize("alternative", Alternative)
def test_one_sided_p_values_against_another_null(alternative: Alternative) -> None:
    effect = Effect(2.0, 0.5, 0.8, 30.0)
    p = effect.p_value(alternative, 3.0)
    t = stats.t(30)
    expected = {
        Alternative.TWO_SIDED: 2 * t.sf(1 / 0.8),
        Alternative.GREATER: t.cdf(1 / 0.8),
        Alternative.LESS: t.sf(1 / 0.8),
    }
    assert p == pytest.approx(expected[alternative], rel=1e-12)


def test_the_right_standard_error_covers_where_the_pooled_one_does_not() -> None:
    """The pooled deviation covers 37-89 % (or all) where sizes and variances differ; ours 95 %."""
    rng, runs = np.random.default_rng(4), 4_000
    slack = 3 * math.sqrt(0.05 * 0.95 / runs)
    pooled_shares = []
    for left, right, spread in ((400, 20, 4.0), (300, 100, 2.0), (200, 10, 8.0)):
        control = rng.normal(0, 1, (runs, left))
        treatment = rng.normal(0, spread, (runs, right))
        ours = pooled = 0
        for a, b in zip(control, treatment, strict=True):
            interval = estimate(moments(a), moments(b)).interval
            ours += interval.lower <= 0 <= interval.upper
            student = ((left - 1) * a.var(ddof=1) + (right - 1) * b.var(ddof=1)) / (
                left + right - 2
            )
            reach = stats.t.ppf(0.975, left + right - 2) * math.sqrt(
                student * (1 / left + 1 / right)
            )
            pooled += abs(b.mean() - a.mean()) <= reach
        assert ours / runs >= 0.95 - slack
        assert ours / runs <= 0.95 + slack
        pooled_shares.append(pooled / runs)
    assert min(pooled_shares) < 0.50
    assert max(pooled_shares) < 0.90


def test_what_is_detectable_is_found_with_that_power() -> None:
    """Of normal estimates of this error, as many as asked for reach the critical value."""
    effect = Effect(0.0, 2.0, 2.0, NORMAL)
    size = effect.detectable(0.05, 0.8)
    assert size == pytest.approx(2.0 * (1.959964 + 0.841621), rel=1e-6)
    assert stats.norm.sf(1.959964 - size / 2.0) == pytest.approx(0.8, rel=1e-6)
    few = Effect(0.0, 2.0, 2.0, 9.0).detectable()
    assert few == pytest.approx(2.0 * (stats.t.ppf(0.975, 9) + stats.t.ppf(0.8, 9)), rel=1e-9)
