import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tidegate_server.analysis.aggregates import BITMAP_BITS, CELLS, GROUPS
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.units import (
    UnitCount,
    bit_index,
    bitmap_of,
    cell_index,
    count_units,
    empty_bitmap,
)

hashes_strategy = hnp.arrays(np.uint64, st.integers(0, 30))


def counted(bitmap: np.ndarray) -> UnitCount:
    count = count_units(bitmap)
    assert isinstance(count, UnitCount)
    return count


def test_a_hash_is_cut_into_cell_and_bit() -> None:
    unit_hash = np.array([0xAB << 56 | 0x1234 << 42 | 0x3FF, 2**64 - 1, 0], np.uint64)
    assert cell_index(unit_hash).tolist() == [0xAB, CELLS - 1, 0]
    assert bit_index(unit_hash).tolist() == [0x1234, BITMAP_BITS - 1, 0]


def test_a_unit_sets_one_bit_in_the_row_of_its_group() -> None:
    bitmap = bitmap_of(np.array([0xAB << 56 | 0x1234 << 42], np.uint64))
    assert np.bitwise_count(bitmap).sum() == 1
    assert bitmap[0xAB // 4, 0x1234 // 8] == 1 << (0x1234 % 8)


@given(hashes_strategy, hashes_strategy)
def test_bitmaps_are_joined_by_or(left: np.ndarray, right: np.ndarray) -> None:
    both = bitmap_of(np.concatenate([left, right, left]))
    assert np.array_equal(bitmap_of(left) | bitmap_of(right), both)


@pytest.mark.parametrize("number", [1, 100, 20_000, 1_000_000, 5_000_000])
def test_the_estimate_is_within_four_standard_errors(number: int) -> None:
    rng = np.random.default_rng(number)
    count = counted(bitmap_of(rng.integers(0, 2**64, number, dtype=np.uint64)))
    assert abs(count.units - number) <= 4 * count.standard_error + 1e-3


def test_the_standard_error_is_that_of_repeated_counts() -> None:
    rng = np.random.default_rng(5)
    row = BITMAP_BITS // 8
    counts = []
    for _ in range(2_000):
        seen = np.zeros(BITMAP_BITS, np.uint8)
        seen[rng.integers(0, BITMAP_BITS, 30_000)] = 1
        counts.append(counted(np.packbits(seen).reshape(1, row)))
    deviation = np.std([each.units for each in counts], ddof=1)
    expected = np.mean([each.standard_error for each in counts])
    assert deviation == pytest.approx(expected, rel=4 / np.sqrt(2 * 2_000))


def test_ten_million_units_are_counted_within_the_promised_error() -> None:
    bits = GROUPS * BITMAP_BITS
    zeros = round(bits * np.exp(-1e7 / bits))
    seen = np.ones(bits, np.uint8)
    seen[:zeros] = 0
    count = counted(np.packbits(seen))
    assert count.standard_error / count.units == pytest.approx(0.012, abs=0.0005)


def test_no_unit_is_zero() -> None:
    assert count_units(empty_bitmap()) == UnitCount(0.0, 0.0)


def test_a_full_bitmap_is_not_infinity() -> None:
    assert count_units(np.full((2, 8), 255, np.uint8)) == NotEstimable(Cause.SATURATED)
    assert count_units(np.full_like(empty_bitmap(), 255)) == NotEstimable(Cause.SATURATED)


def test_a_full_row_among_others_is_still_counted() -> None:
    bitmap = bitmap_of(np.random.default_rng(6).integers(0, 2**64, 10_000, dtype=np.uint64))
    bitmap[3] = 255
    assert counted(bitmap).units > 10_000
