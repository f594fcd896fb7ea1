"""Whatever goes in, what comes out is finite or says why it is missing."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.analysis.simulation import monte_carlo_error
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.covariates import Adjusted, cuped
from tidegate_server.analysis.effects import Effect, difference, log_ratio
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.figures import Figure, bare_figure, cluster_error
from tidegate_server.analysis.margins import Margin, equivalence, non_inferiority
from tidegate_server.analysis.means import mean_of_moments, mean_per_unit_figure
from tidegate_server.analysis.outliers import find_outliers
from tidegate_server.analysis.phases import combine_phases, heterogeneity
from tidegate_server.analysis.posterior import NormalPrior, posterior_of
from tidegate_server.analysis.ranks import mann_whitney
from tidegate_server.analysis.rates import proportion_of_moments
from tidegate_server.analysis.samples import UnitTotals

SIZES = st.just(0.0) | st.floats(1e-300, 1e300) | st.floats(0.1, 10)
VALUES = SIZES | SIZES.map(lambda size: -size)


def numbers(of: object) -> Iterator[float]:
    """Yield every number in a result, however deep; arrays too."""
    if isinstance(of, np.ndarray):
        yield from of.ravel().tolist()
    elif isinstance(of, Enum | str | bool):
        return
    elif isinstance(of, float | int):
        yield of
    elif isinstance(of, tuple):
        for each in of:
            yield from numbers(each)
    elif is_dataclass(of):
        for field in fields(of):
            yield from numbers(getattr(of, field.name))


def check(*results: object) -> None:
    for result in results:
        assert all(map(math.isfinite, numbers(result))), result


@given(st.tuples(VALUES, SIZES, SIZES), st.tuples(VALUES, SIZES, SIZES), st.integers(1, 10**12))
def test_from_any_two_figures(
    left: tuple[float, float, float], right: tuple[float, float, float], degrees: int
) -> None:
    control, treatment = (bare_figure(*each, 99, degrees) for each in (left, right))
    check(compare(control, treatment), compare(*combine_phases([(control, treatment)] * 2)))
    for margin in (Margin(0.1), Margin(0.1, relative=False)):
        check(equivalence(control, treatment, margin))
        check(non_inferiority(control, treatment, margin, higher_is_better=True))
    for effect in (difference(control, treatment), log_ratio(control, treatment)):
        check(effect)
        if isinstance(effect, Effect):
            check(posterior_of(effect), posterior_of(effect, NormalPrior(0.0, 1.0)))
            check(heterogeneity([effect, Effect(0.0, 1.0, 1.0, 5.0)]))


@given(st.lists(st.floats(-1e150, 1e150) | st.integers(-2, 2), max_size=8), st.integers(0, 3))
def test_from_any_units(values: list[float], others: int) -> None:
    left, right = np.array(values, np.float64), np.arange(float(others))
    check(mann_whitney(left, right))
    figures = [mean_per_unit_figure(UnitTotals(np.ones(v.size, int), v)) for v in (left, right)]
    check(*figures)
    if isinstance(figures[0], Figure) and isinstance(figures[1], Figure):
        pair = figures[0], figures[1]
        check(find_outliers(*pair), cuped(pair, [pair]), compare(*pair))


@given(st.integers(0, 10**12), st.integers(0, 10**12), VALUES, SIZES)
def test_from_any_moments(successes: int, units: int, mean: float, variance: float) -> None:
    check(mean_of_moments(units, mean, variance))
    check(proportion_of_moments(min(successes, units), units))


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1.0, 1e150, 1e300])
def test_errors_of_any_size_neither_vanish_nor_overflow(size: float) -> None:
    influence = np.array([size, -size, 0.0])
    assert cluster_error(influence, np.array([True, True, False])) == pytest.approx(2 * size)


def test_a_covariate_that_is_the_metric_itself_leaves_nothing() -> None:
    rng = np.random.default_rng(1)
    figures = [
        mean_per_unit_figure(UnitTotals(np.ones(50, int), rng.normal(3, 1, 50))) for _ in range(2)
    ]
    assert isinstance(figures[0], Figure)
    assert isinstance(figures[1], Figure)
    found = cuped((figures[0], figures[1]), [(figures[0], figures[1])])
    assert isinstance(found, Adjusted)
    assert found.variance_reduction == pytest.approx(1.0)
    assert found.treatment.value == pytest.approx(found.control.value)


@pytest.mark.parametrize(("control", "treatment"), [(2_000, 2_000), (3_000, 1_000)])
def test_zero_inflated_sums_per_unit_are_covered(control: int, treatment: int) -> None:
    """Nine units in ten have nothing, the others lognormal sums."""
    rng, runs = np.random.default_rng(control), 1_000
    covered = 0
    for _ in range(runs):
        arms = []
        for units in (control, treatment):
            total = (rng.random(units) < 0.1) * rng.lognormal(0, 0.8, units)
            figure = mean_per_unit_figure(UnitTotals((total > 0).astype(np.int64), total))
            assert isinstance(figure, Figure)
            arms.append(figure)
        result = compare(*arms)
        assert isinstance(result, Estimate)
        assert not isinstance(result.relative_interval, NotEstimable)
        covered += result.relative_interval.lower <= 0 <= result.relative_interval.upper
    assert covered / runs >= 0.95 - 3 * monte_carlo_error(0.05, runs)
