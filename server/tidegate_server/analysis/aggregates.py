"""Sufficient statistics of fixed size: what every analysis starts from.

Units are hashed into CELLS cells. A ratio's variance comes from the cells' totals, because whole
cells, unlike the requests of one user, are independent (design §5).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELLS = 256
"""Cells per outcome; a unit's cell is the top 8 bits of its 64-bit hash."""

CELLS_PER_GROUP = 4
"""Consecutive cells that share a histogram and a row of the unit bitmap."""

GROUPS = CELLS // CELLS_PER_GROUP

BITMAP_BITS = 1 << 14
"""Bits per row of the unit bitmap: 2^20 bits an arm, 1.2 % standard error at 10^7 units."""

BINS_PER_OCTAVE = 64
"""Histogram bins between v and 2 v: the middle of a bin is within 0.8 % of each of its values."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Moments of one outcome in each cell. Arrays of shape (CELLS,).

    count: events, int64, >= 0.
    total: sum of the values, float64 (exact for integers below 2^53).
    m2: sum of squared deviations from the cell's own mean, float64, >= 0: never raw squares,
        which cancel (Chan, Golub, LeVeque 1983, eq. 2.1 merges two of them).
    """

    count: NDArray[np.int64]
    total: NDArray[np.float64]
    m2: NDArray[np.float64]

    @classmethod
    def empty(cls) -> "Cells":
        """No events."""
        return cls(
            np.zeros(CELLS, np.int64), np.zeros(CELLS, np.float64), np.zeros(CELLS, np.float64)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of values in logarithmic bins, one row for each group of cells.

    lowest: index of the first column's bin. Bin 0 holds |v| < 2^-20, bin i > 0 positive and
        bin -i negative values; `tidegate_server.analysis.histogram` converts both ways.
    counts: shape (GROUPS, width), int64, >= 0; width may be 0.
    """

    lowest: int
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls) -> "Histogram":
        """No values."""
        return cls(0, np.zeros((GROUPS, 0), np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeAggregate:
    """All that is kept of one outcome under one arm."""

    cells: Cells
    histogram: Histogram


@dataclass(frozen=True, slots=True, eq=False)
class ArmAggregate:
    """All that is kept of one arm: a flag's variant in one phase.

    units: bitmap for linear counting, shape (GROUPS, BITMAP_BITS // 8), uint8; a unit's bit is
        given by 14 bits of its hash, in the row of its cell's group.
    exposures: exposures recorded, >= 0.
    dropped: events that clients report as dropped, >= 0.
    first_ms, last_ms: times of the earliest and latest event, ms since 1970 UTC; both 0 without
        events.
    outcomes: by name.
    """

    units: NDArray[np.uint8]
    exposures: int
    dropped: int
    first_ms: int
    last_ms: int
    outcomes: dict[str, OutcomeAggregate]

    @classmethod
    def empty(cls) -> "ArmAggregate":
        """Nothing seen."""
        return cls(np.zeros((GROUPS, BITMAP_BITS // 8), np.uint8), 0, 0, 0, 0, {})
