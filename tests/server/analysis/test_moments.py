import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tidegate_server.analysis.aggregates import Cells
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.moments import cells_of, merge_cells, sample_deviation

values_strategy = hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(-1e9, 1e9))


def spread(values: np.ndarray) -> Cells:
    return cells_of(np.arange(values.size) % 7, values)


def assert_same(left: Cells, right: Cells, scale: float) -> None:
    assert np.array_equal(left.count, right.count)
    np.testing.assert_allclose(left.total, right.total, rtol=1e-12, atol=1e-13 * scale)
    np.testing.assert_allclose(left.m2, right.m2, rtol=1e-9, atol=1e-13 * scale**2)


def test_each_cell_has_its_own_moments() -> None:
    cells = cells_of(np.array([0, 0, 255]), np.array([1.0, 3.0, 5.0]))
    assert (cells.count[0], cells.total[0], cells.m2[0]) == (2, 4.0, 2.0)
    assert (cells.count[255], cells.total[255], cells.m2[255]) == (1, 5.0, 0.0)
    assert cells.count.sum() == 3
    assert cells.count.dtype == np.int64


@given(values_strategy, values_strategy, values_strategy)
def test_merging_is_associative_and_has_a_neutral_element(
    a: np.ndarray, b: np.ndarray, c: np.ndarray
) -> None:
    x, y, z = spread(a), spread(b), spread(c)
    scale = 1.0 + float(np.abs(np.concatenate([a, b, c])).sum())
    assert_same(merge_cells(merge_cells(x, y), z), merge_cells(x, merge_cells(y, z)), scale)
    assert_same(merge_cells(x, y), merge_cells(y, x), scale)
    assert_same(merge_cells(x, Cells.empty()), x, scale)


@given(values_strategy, values_strategy)
def test_merging_equals_one_pass_over_all(a: np.ndarray, b: np.ndarray) -> None:
    both = np.concatenate([a, b])
    cell = np.concatenate([np.arange(a.size), np.arange(b.size)]) % 7
    scale = 1.0 + float(np.abs(both).sum())
    assert_same(merge_cells(spread(a), spread(b)), cells_of(cell, both), scale)


def test_sample_deviation_agrees_with_numpy() -> None:
    rng = np.random.default_rng(2)
    values = rng.lognormal(0, 1, 5_000)
    cells = cells_of(rng.integers(0, 256, values.size), values)
    assert sample_deviation(cells) == pytest.approx(values.std(ddof=1), rel=1e-12)


def test_a_large_mean_does_not_cancel_the_variance() -> None:
    rng = np.random.default_rng(3)
    values = 1e9 + rng.standard_normal(100_000)
    cell = rng.integers(0, 256, values.size)
    merged = Cells.empty()
    for part in np.array_split(np.arange(values.size), 200):
        merged = merge_cells(merged, cells_of(cell[part], values[part]))
    assert sample_deviation(merged) == pytest.approx(values.std(ddof=1), rel=1e-6)
    assert sample_deviation(merged) == pytest.approx(1.0, abs=0.01)


def test_counts_to_a_million_million() -> None:
    half = Cells.empty()
    half.count[0], half.total[0], half.m2[0] = 10**12, 10.0**12, 10.0**12
    merged = merge_cells(half, half)
    assert merged.count[0] == 2 * 10**12
    assert sample_deviation(merged) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_events_have_no_deviation(number: int) -> None:
    assert sample_deviation(spread(np.ones(number))) == NotEstimable(Cause.TOO_FEW_EVENTS)


def test_values_whose_squares_overflow_are_said_to_be_too_large() -> None:
    cells = merge_cells(spread(np.array([1e200, -1e200])), spread(np.array([3e200, 1.0])))
    assert sample_deviation(cells) == NotEstimable(Cause.OVERFLOW)
