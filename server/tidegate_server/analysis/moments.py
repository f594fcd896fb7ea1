"""Moments of one outcome in cells: made from values, merged, read."""

import math

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import CELLS, Cells
from tidegate_server.analysis.estimable import Cause, NotEstimable


def cells_of(cell: NDArray[np.int64], values: NDArray[np.float64]) -> Cells:
    """Return the moments of `values` in their cells, by two passes.

    cell: shape (n,), in [0, CELLS). values: shape (n,), finite; where squares overflow (above
    1e150) m2 is not finite, and what is computed from it is not estimable.
    """
    count = np.bincount(cell, minlength=CELLS)
    total = _sums(cell, values)
    with np.errstate(over="ignore", invalid="ignore"):
        deviations = values - (total / np.maximum(count, 1))[cell]
        return Cells(count, total, _sums(cell, deviations**2))


def _sums(cell: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(cell, weights=values, minlength=CELLS).astype(np.float64, copy=False)


def merge_cells(left: Cells, right: Cells) -> Cells:
    """Return the moments of both sets of values (Chan, Golub, LeVeque 1983, eq. 2.1)."""
    count = left.count + right.count
    with np.errstate(over="ignore", invalid="ignore"):
        apart = left.total / np.maximum(left.count, 1) - right.total / np.maximum(right.count, 1)
        between = apart**2 * left.count * (right.count / np.maximum(count, 1))
        return Cells(count, left.total + right.total, left.m2 + right.m2 + between)


def sample_deviation(cells: Cells) -> float | NotEstimable:
    """Return the standard deviation (divisor n - 1) of all events, whatever their cell.

    All cells are merged at once: their m2 and the deviations of their means from the whole's
    (Chan, Golub, LeVeque 1983, eq. 2.1, summed over the cells).
    """
    events = int(cells.count.sum())
    if events < 2:
        return NotEstimable(Cause.TOO_FEW_EVENTS)
    with np.errstate(over="ignore", invalid="ignore"):
        means = cells.total / np.maximum(cells.count, 1)
        apart = means - cells.total.sum() / events
        squares = float(cells.m2.sum() + (cells.count * apart**2).sum())
    if not math.isfinite(squares):
        return NotEstimable(Cause.OVERFLOW)
    return math.sqrt(squares / (events - 1))
