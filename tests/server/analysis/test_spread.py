import numpy as np
import pytest

from tidegate_server.analysis.figures import Figure, bare_figure
from tidegate_server.analysis.spread import PhaseFigures, steadied


def figure(value: float, error: float) -> Figure:
    return bare_figure(value, error, 2 * error, 100)


def phase(
    control: Figure, treatment: Figure, control_units: float = 900, treatment_units: float = 100
) -> PhaseFigures:
    return PhaseFigures(control, treatment, control_units, treatment_units)


def test_equal_spreads_stay_as_they_are() -> None:
    control, treatment = figure(2.0, 1.0), figure(2.0, 3.0)
    left, right = steadied(phase(control, treatment), 0.0)
    assert (left.below, left.above) == pytest.approx((1.0, 2.0))
    assert (right.below, right.above) == pytest.approx((3.0, 6.0))


def test_the_smaller_spread_is_raised_to_the_larger() -> None:
    left, right = steadied(phase(figure(2.0, 1.0), figure(2.0, 1.5)), 0.0)
    assert (right.below, right.above) == pytest.approx((3.0, 6.0))
    assert left.below == 1.0
    left, right = steadied(phase(figure(2.0, 1.0), figure(2.0, 6.0)), 0.0)
    assert (left.below, left.above) == pytest.approx((2.0, 4.0))
    assert right.below == 6.0


def test_half_a_power_lets_spread_follow_the_level_as_counts_do() -> None:
    """Counts of rare events: the variance is the mean."""
    left, right = steadied(phase(figure(4.0, 2.0), figure(1.0, 3.0)), 0.5)
    assert (left.below, right.below) == pytest.approx((2.0, 3.0))
    _, raised = steadied(phase(figure(4.0, 2.0), figure(1.0, 0.1)), 0.5)
    assert raised.below == pytest.approx(3.0)


def test_an_arm_without_variation_borrows_all() -> None:
    _, right = steadied(phase(figure(4.0, 2.0), figure(0.0, 0.0)), 0.5)
    assert (right.below, right.above) == (9.0, 9.0)


def test_influences_are_raised_in_proportion() -> None:
    influence = np.array([-1.0, 1.0])
    low = Figure(1.0, 1.0, 1.0, influence, np.ones(2, np.bool_), 2)
    _, right = steadied(phase(figure(1.0, 2.0), low), 0.0)
    assert right.influence.tolist() == [-9.0, 9.0]


def test_without_units_nothing_is_borrowed() -> None:
    control, treatment = figure(2.0, 1.0), figure(2.0, 0.1)
    assert steadied(phase(control, treatment, 0, 100), 0.0) == (control, treatment)
