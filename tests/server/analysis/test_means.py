import numpy as np
import pytest
from scipy import stats

from tests.server.analysis.simulation import outcome, requests, users
from tidegate_server.analysis.aggregates import CELLS, Cells
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.moments import cells_of, merge_cells


def figure(cells: Cells) -> Figure:
    result = mean_figure(cells)
    assert isinstance(result, Figure)
    return result


def one_unit_a_cell(means: np.ndarray, events: int = 5) -> Cells:
    """Every cell holds one unit, every unit has as many events: the mean is that of the units."""
    return cells_of(np.repeat(np.arange(means.size), events), np.repeat(means, events))


def test_with_equal_clusters_the_error_is_that_of_the_mean_of_unit_means() -> None:
    means = np.random.default_rng(1).lognormal(0, 1, 200)
    result = figure(one_unit_a_cell(means))
    assert result.value == pytest.approx(means.mean(), rel=1e-12)
    assert result.standard_error == pytest.approx(stats.sem(means), rel=1e-9)
    assert result.below == result.above
    assert (result.degrees, result.events) == (199, 1_000)


def test_with_unequal_clusters_the_error_is_the_delta_methods() -> None:
    """Against the covariance form, var(S)/N² - 2 R cov(S, N)/N² + R² var(N)/N², of the paper."""
    hashes, values = requests(np.random.default_rng(2), users(np.random.default_rng(3), 3_000))
    cells = outcome(hashes, values).cells
    count, total = cells.count.astype(float), cells.total
    ratio = total.sum() / count.sum()
    covariance = np.cov(total, count, ddof=1)
    variance = CELLS * (
        covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
    )
    expected = np.sqrt(variance) / count.sum()
    assert figure(cells).standard_error == pytest.approx(expected, rel=1e-9)
    assert figure(cells).value == pytest.approx(values.mean(), rel=1e-12)


def test_influences_add_up_to_nothing() -> None:
    hashes, values = requests(np.random.default_rng(4), users(np.random.default_rng(5), 500))
    assert abs(figure(outcome(hashes, values).cells).influence.sum()) < 1e-12


def test_empty_cells_are_no_clusters() -> None:
    means = np.array([1.0, 2.0, 4.0])
    result = figure(one_unit_a_cell(means))
    assert result.degrees == 2
    assert result.standard_error == pytest.approx(stats.sem(means), rel=1e-9)


@pytest.mark.parametrize(
    ("cells", "cause"),
    [
        (Cells.empty(), Cause.NO_EVENTS),
        (one_unit_a_cell(np.array([3.0])), Cause.TOO_FEW_CELLS),
        (one_unit_a_cell(np.array([3.0]), events=1), Cause.TOO_FEW_CELLS),
        (one_unit_a_cell(np.array([1e200, -1e200])), Cause.OVERFLOW),
    ],
)
def test_what_cannot_be_said(cells: Cells, cause: Cause) -> None:
    assert mean_figure(cells) == NotEstimable(cause)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e9 + 0.1, -7e-9])
def test_a_constant_has_no_error_even_where_sums_round(value: float) -> None:
    rng = np.random.default_rng(6)
    cells = Cells.empty()
    for _ in range(50):
        cell = rng.integers(0, CELLS, 3_000)
        cells = merge_cells(cells, cells_of(cell, np.full(3_000, value)))
    assert figure(cells).standard_error == 0.0


def test_cells_that_agree_have_no_error_even_where_the_division_rounds() -> None:
    cell = np.repeat(np.arange(CELLS), 3)
    assert figure(cells_of(cell, np.tile([0.1, 0.2, 0.4], CELLS))).standard_error == 0.0


def test_a_large_mean_keeps_its_error() -> None:
    rng = np.random.default_rng(7)
    values = 1e9 + rng.standard_normal(CELLS * 100)
    cell = np.tile(np.arange(CELLS), 100)
    expected = stats.sem([values[cell == each].mean() for each in range(CELLS)])
    assert figure(cells_of(cell, values)).standard_error == pytest.approx(expected, rel=1e-5)
