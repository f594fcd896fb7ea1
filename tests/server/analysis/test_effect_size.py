import numpy as np
import pytest
from scipy.special import gammaln

from tidegate_server.analysis.effect_size import EffectSize, Magnitude, effect_size
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.means import mean_figure, mean_per_unit_figure
from tidegate_server.analysis.moments import cells_of
from tidegate_server.analysis.samples import UnitTotals


def unit_means(means: np.ndarray, events: int = 4) -> Figure:
    cell = np.repeat(np.arange(means.size), events)
    result = mean_figure(cells_of(cell, np.repeat(means, events)))
    assert isinstance(result, Figure)
    return result


def test_is_cohens_d_of_the_unit_means() -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.normal(3, 1, 200), rng.normal(3.4, 1.5, 80)
    difference = treatment.mean() - control.mean()
    result = effect_size(difference, [(unit_means(control), 200.0), (unit_means(treatment), 80.0)])
    pooled = (199 * control.var(ddof=1) + 79 * treatment.var(ddof=1)) / 278
    assert isinstance(result, EffectSize)
    assert result.cohens_d == pytest.approx(difference / np.sqrt(pooled), rel=1e-9)


@pytest.mark.parametrize(
    ("cohens_d", "magnitude"),
    [
        (0.0, Magnitude.NEGLIGIBLE),
        (-0.1999, Magnitude.NEGLIGIBLE),
        (0.2, Magnitude.SMALL),
        (-0.5, Magnitude.MEDIUM),
        (0.79, Magnitude.MEDIUM),
        (-0.8, Magnitude.LARGE),
    ],
)
def test_magnitudes(cohens_d: float, magnitude: Magnitude) -> None:
    assert EffectSize(cohens_d, 10.0).magnitude is magnitude


def test_an_arm_has_no_more_units_than_events() -> None:
    arm = unit_means(np.array([1.0, 2.0, 4.0]), events=1)
    assert effect_size(1.0, [(arm, 3.0)]) == effect_size(1.0, [(arm, 1_000.0)])


def test_what_cannot_be_said() -> None:
    arm = unit_means(np.array([1.0, 2.0, 4.0]))
    constant = unit_means(np.array([1.0, 1.0, 1.0]))
    saturated = NotEstimable(Cause.SATURATED)
    assert effect_size(1.0, [(arm, 3.0), (arm, saturated)]) == saturated
    assert effect_size(1.0, [(arm, 1.0), (arm, 0.5)]) == NotEstimable(Cause.TOO_FEW_UNITS)
    assert effect_size(1.0, [(constant, 3.0)]) == NotEstimable(Cause.ZERO_VARIANCE)


@pytest.mark.parametrize("degrees", [2.0, 10.0, 58.0])
def test_hedges_correction_is_the_ratio_of_gamma_functions(degrees: float) -> None:
    exact = np.exp(gammaln(degrees / 2) - gammaln((degrees - 1) / 2)) / np.sqrt(degrees / 2)
    assert EffectSize(0.5, degrees).hedges_g == pytest.approx(0.5 * exact, rel=1e-9)


def test_hedges_correction_in_the_table_and_in_the_limit() -> None:
    """Hedges 1981, table 1: c(10) = 0.9228, c(50) = 0.9849; from the data of Borenstein et al.
    2009, "Introduction to Meta-Analysis", p. 27: d = 0.5970 at 98 degrees is g = 0.5924.
    """
    assert EffectSize(1.0, 10).hedges_g == pytest.approx(0.9228, abs=1e-4)
    assert EffectSize(1.0, 50).hedges_g == pytest.approx(0.9849, abs=1e-4)
    assert EffectSize(0.5970, 98).hedges_g == pytest.approx(0.5924, abs=1e-4)
    assert EffectSize(1.0, 1e12).hedges_g == pytest.approx(1.0, rel=1e-9)
    assert EffectSize(1.0, 1.0).hedges_g == NotEstimable(Cause.TOO_FEW_UNITS)


def test_d_of_sums_per_unit_counts_units_without_events_too() -> None:
    rng = np.random.default_rng(2)
    arms = [(rng.random(2_000) < 0.1) * rng.lognormal(0, 1, 2_000) for _ in range(2)]
    figures = []
    for total in arms:
        figure = mean_per_unit_figure(UnitTotals((total > 0).astype(np.int64), total))
        assert isinstance(figure, Figure)
        figures.append(figure)
    result = effect_size(1.0, [(each, 2_000.0) for each in figures])
    assert isinstance(result, EffectSize)
    pooled = np.sqrt((arms[0].var(ddof=1) + arms[1].var(ddof=1)) / 2)
    assert result.cohens_d == pytest.approx(1 / pooled, rel=1e-9)
