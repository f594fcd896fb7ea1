import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tidegate_server.analysis.aggregates import CELLS_PER_GROUP, GROUPS, Histogram
from tidegate_server.analysis.histogram import (
    LARGEST,
    SMALLEST,
    TOP_BIN,
    bin_edges,
    bin_index,
    bins,
    histogram_of,
    is_exact,
    merge_histograms,
    occupied_bins,
    quantiles,
    rank,
    representative,
)
from tidegate_server.analysis.moments import cells_of

SHARES = (0.01, 0.5, 0.95, 0.99)
ordinary = st.floats(SMALLEST, LARGEST) | st.floats(-LARGEST, -SMALLEST)
samples = hnp.arrays(
    np.float64, st.integers(1, 60), elements=ordinary | st.just(0.0) | st.integers(-130, 130)
)


def bin_of(value: float) -> int:
    return int(bin_index(np.array([value]))[0])


def quantile_of(values: np.ndarray, share: float) -> float:
    cell = np.arange(values.size) % 256
    histogram = histogram_of(cell // CELLS_PER_GROUP, values)
    [value] = quantiles(histogram, cells_of(cell, values), [share])
    return value


@pytest.mark.parametrize(
    ("value", "index"),
    [
        (0.0, 0),
        (-0.0, 0),
        (np.nextafter(SMALLEST, 0), 0),
        (SMALLEST, 1),
        (2 * SMALLEST, 65),
        (1.0, 20 * 64 + 1),
        (np.nextafter(1.0, 0), 20 * 64),
        (-1.0, -20 * 64 - 1),
        (LARGEST, TOP_BIN),
        (1e300, TOP_BIN),
        (-1e300, -TOP_BIN),
        (5e-324, 0),
    ],
)
def test_bin_of_a_value(value: float, index: int) -> None:
    assert bin_of(value) == index


@given(ordinary)
def test_a_bin_holds_its_values_and_stands_for_them(value: float) -> None:
    index = bin_index(np.array([value]))
    near, far = (abs(float(edge[0])) for edge in bin_edges(index))
    assert near <= abs(value) < far
    assert abs(float(representative(index)[0]) - value) <= 0.008 * abs(value)


def test_bins_are_in_the_order_of_their_values() -> None:
    index = np.arange(-TOP_BIN, TOP_BIN + 1)
    assert np.all(np.diff(representative(index)) > 0)
    assert np.array_equal(bin_index(representative(index)), index)


@given(samples, st.sampled_from(SHARES))
def test_quantile_is_the_smallest_value_with_the_share(values: np.ndarray, share: float) -> None:
    expected = float(np.quantile(values, share, method="inverted_cdf"))
    assert quantile_of(values, share) == pytest.approx(expected, rel=0.008, abs=0)


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.integers(0, 127)))
def test_quantiles_of_small_whole_numbers_are_exact(values: np.ndarray) -> None:
    for share in SHARES:
        assert quantile_of(values, share) == np.quantile(values, share, method="inverted_cdf")


@pytest.mark.parametrize(
    ("values", "exact"),
    [
        ([0.0, 1.0, 5.0, 127.0], True),
        ([-1.0, -5.0, 0.0], True),
        ([0.25, 1.5], True),
        ([1.0, 5.01], False),
        ([1.0, 129.0], False),
        ([1.0, 1e13], False),
        ([-1.01, 1.01], False),
        ([], False),
    ],
)
def test_is_exact(values: list[float], exact: bool) -> None:
    array = np.array(values, np.float64)
    cell = np.zeros(array.size, np.int64)
    assert is_exact(histogram_of(cell, array), cells_of(cell, array)) is exact


def test_quantile_of_a_large_sample_agrees_with_numpy() -> None:
    values = np.random.default_rng(1).lognormal(4, 1, 200_000)
    for share in SHARES:
        assert quantile_of(values, share) == pytest.approx(np.quantile(values, share), rel=0.009)


@pytest.mark.parametrize(
    ("share", "events", "expected"), [(0.07, 100, 7), (0.95, 20, 19), (0.5, 3, 2), (0.01, 1, 1)]
)
def test_rank_is_safe_from_rounding(share: float, events: int, expected: int) -> None:
    assert rank(share, events) == expected


@given(samples, samples)
def test_merging_counts_as_counting_together(left: np.ndarray, right: np.ndarray) -> None:
    def count(values: np.ndarray) -> Histogram:
        return histogram_of(np.arange(values.size) % GROUPS, values)

    both = np.concatenate([left, right])
    group = np.concatenate([np.arange(left.size), np.arange(right.size)]) % GROUPS
    expected = histogram_of(group, both)
    for merged in (
        merge_histograms(count(left), count(right)),
        merge_histograms(count(right), count(left)),
    ):
        assert merged.lowest == expected.lowest
        assert np.array_equal(merged.counts, expected.counts)


def test_an_empty_histogram_changes_nothing() -> None:
    full = histogram_of(np.array([3]), np.array([2.0]))
    for merged in (
        merge_histograms(full, Histogram.empty()),
        merge_histograms(Histogram.empty(), full),
    ):
        assert np.array_equal(merged.counts, full.counts)
        assert np.array_equal(bins(merged), bins(full))
    assert occupied_bins(merge_histograms(Histogram.empty(), Histogram.empty())).size == 0


def test_occupied_bins_rise_and_have_no_gaps_filled() -> None:
    values = np.array([8.0, -1.0, 0.0, 8.0])
    histogram = histogram_of(np.array([0, 1, 2, 3]), values)
    assert occupied_bins(histogram).tolist() == sorted({bin_of(each) for each in values.tolist()})


def test_relative_error_is_largest_in_the_first_bin_of_an_octave() -> None:
    index = np.array([bin_of(1.0)])
    assert math.isclose(float(representative(index)[0]) - 1, 1 / 129, rel_tol=1e-12)
