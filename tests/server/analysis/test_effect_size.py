import numpy as np
import pytest

from tidegate_server.analysis.effect_size import EffectSize, Magnitude, effect_size
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.moments import cells_of


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
    assert EffectSize(cohens_d).magnitude is magnitude


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
