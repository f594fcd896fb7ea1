"""Where a unit's hash puts it, and how many units a bitmap has seen (linear counting)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import BITMAP_BITS, CELLS_PER_GROUP, GROUPS
from tidegate_server.analysis.estimable import Cause, NotEstimable

_CELL_SHIFT = np.uint64(56)
_BIT_SHIFT = np.uint64(42)
_BIT_MASK = np.uint64(BITMAP_BITS - 1)


@dataclass(frozen=True, slots=True)
class UnitCount:
    """An estimated number of distinct units, >= 0, with its standard error, >= 0."""

    units: float
    standard_error: float


def cell_index(unit_hash: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return each unit's cell, in [0, CELLS): the top 8 bits of its hash."""
    return (unit_hash >> _CELL_SHIFT).astype(np.int64)


def bit_index(unit_hash: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return each unit's bit in its group's row, in [0, BITMAP_BITS): the next 14 bits."""
    return ((unit_hash >> _BIT_SHIFT) & _BIT_MASK).astype(np.int64)


def empty_bitmap() -> NDArray[np.uint8]:
    """Return a bitmap without units, shape (GROUPS, BITMAP_BITS // 8)."""
    return np.zeros((GROUPS, BITMAP_BITS // 8), np.uint8)


def bitmap_of(unit_hash: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the bitmap of these units; bit b of a row is bit b % 8 of its byte b // 8."""
    bitmap = empty_bitmap()
    position = (cell_index(unit_hash) // CELLS_PER_GROUP) * BITMAP_BITS + bit_index(unit_hash)
    bits = np.left_shift(1, position & 7).astype(np.uint8)
    np.bitwise_or.at(bitmap.reshape(-1), position >> 3, bits)
    return bitmap


def count_units(bitmap: NDArray[np.uint8]) -> UnitCount | NotEstimable:
    """Estimate the number of distinct units from a bitmap of any shape.

    With m bits of which a share v is 0 the estimate is -m ln v; at a load of t = units / m its
    standard error is sqrt(m (e^t - t - 1)). Source: Whang, Vander-Zanden, Taylor 1990, "A
    linear-time probabilistic counting algorithm for database applications". The rows are equal in
    chance, so they are read as one map: a full row among others does no harm.
    """
    bits = bitmap.size * 8
    words = bitmap.view(np.uint64) if bitmap.shape[-1] % 8 == 0 else bitmap
    zeros = bits - int(np.bitwise_count(words).sum(dtype=np.int64))
    if zeros == 0:
        return NotEstimable(Cause.SATURATED)
    load = math.log(bits / zeros)
    return UnitCount(bits * load, math.sqrt(bits * max(math.expm1(load) - load, 0.0)))


def count_units_by_row(bitmap: NDArray[np.uint8]) -> NDArray[np.float64] | NotEstimable:
    """Estimate the units of each group: the rows of a bitmap read apart, shape (GROUPS,)."""
    bits = bitmap.shape[1] * 8
    zeros = bits - np.bitwise_count(bitmap).sum(axis=1, dtype=np.int64)
    if not zeros.all():
        return NotEstimable(Cause.SATURATED)
    units: NDArray[np.float64] = bits * np.log(bits / zeros)
    return units
