"""Windows: what happened in each stretch of time, for dashboards and for ceilings.

A window keeps count, total and m2 of its values, and a sparse histogram of 16 bins to an octave,
whose quantiles are within 3.1 %. Windows are tables of columns: they are made, merged and rolled
up by one function, without a loop over events.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import BINS_PER_OCTAVE
from tidegate_server.analysis.histogram import bin_edges, bin_index

WINDOW_BINS_PER_OCTAVE = 16
"""Bins of a window's histogram between v and 2 v: each is four of an aggregate's histogram."""

_SHIFT = (BINS_PER_OCTAVE // WINDOW_BINS_PER_OCTAVE).bit_length() - 1


class Resolution(StrEnum):
    """How long a window is."""

    TEN_SECONDS = "10s"
    MINUTE = "1m"
    HOUR = "1h"

    @property
    def length_ms(self) -> int:
        """Return the length of a window, in ms; windows begin at its multiples since 1970 UTC."""
        return _LENGTH_MS[self]


_LENGTH_MS = {
    Resolution.TEN_SECONDS: 10_000,
    Resolution.MINUTE: 60_000,
    Resolution.HOUR: 3_600_000,
}


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of one arm's outcomes, as two tables.

    Of n windows, rising by outcome and time, each outcome and window once; arrays of shape (n,):

    outcome: int64, into `outcomes`, which rise; an empty outcome means exposures.
    index: int64; the window is [index, index + 1) times the resolution's length since 1970 UTC.
    count: events, int64, > 0. total: sum of the values, float64.
    m2: sum of squared deviations from the window's mean, float64, >= 0.

    Of k bins that hold values, rising by window and bin; arrays of shape (k,), int64:

    bin_row: the window, in [0, n). bin_count: values in the bin, > 0.
    bin: 0 holds |v| < 2^-20, i > 0 positive and -i negative values, 16 bins to an octave.
        Exposures have none.
    """

    resolution: Resolution
    outcomes: tuple[str, ...]
    outcome: NDArray[np.int64]
    index: NDArray[np.int64]
    count: NDArray[np.int64]
    total: NDArray[np.float64]
    m2: NDArray[np.float64]
    bin_row: NDArray[np.int64]
    bin: NDArray[np.int64]
    bin_count: NDArray[np.int64]


def windows_of(
    outcomes: tuple[str, ...],
    outcome: NDArray[np.int64],
    time_ms: NDArray[np.int64],
    values: NDArray[np.float64],
) -> Windows:
    """Return the windows of ten seconds of one arm's events.

    outcomes: rising, each once. outcome: shape (n,), into `outcomes`. time_ms: shape (n,), >= 0.
    values: shape (n,), finite.
    """
    resolution = Resolution.TEN_SECONDS
    measured = np.arange(outcome.size)
    if "" in outcomes:
        measured = np.flatnonzero(outcome != outcomes.index(""))
    return _collect(
        Windows(
            resolution=resolution,
            outcomes=outcomes,
            outcome=outcome,
            index=time_ms // resolution.length_ms,
            count=np.ones(outcome.size, np.int64),
            total=values,
            m2=np.zeros(outcome.size),
            bin_row=measured,
            bin=coarse_bin(bin_index(values[measured])),
            bin_count=np.ones(measured.size, np.int64),
        )
    )


def coarse_bin(fine: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the window's bin for each bin of an aggregate's histogram; 0 stays alone."""
    magnitude = np.abs(fine)
    magnitude += (1 << _SHIFT) - 1
    magnitude >>= _SHIFT
    return np.negative(magnitude, out=magnitude, where=fine < 0)


def coarse_bin_edges(
    index: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of each bin of a window's histogram, the one nearer to 0 first."""
    magnitude = np.abs(index)
    first = np.where(magnitude > 0, ((magnitude - 1) << _SHIFT) + 1, 0)
    near, _ = bin_edges(first)
    _, far = bin_edges(magnitude << _SHIFT)
    sign = np.sign(index)
    return sign * near, sign * far


def empty_windows(resolution: Resolution) -> Windows:
    """Return no windows."""
    none, nothing = np.empty(0, np.int64), np.empty(0, np.float64)
    return Windows(resolution, (), none, none, none, nothing, nothing, none, none, none)


def merge_windows(parts: Sequence[Windows]) -> Windows:
    """Return the windows of all parts (at least one), which have one resolution."""
    outcomes = tuple(sorted({name for part in parts for name in part.outcomes}))
    place = {name: i for i, name in enumerate(outcomes)}
    own = [np.array([place[name] for name in part.outcomes], np.int64) for part in parts]
    first_row = np.cumsum([0, *(part.count.size for part in parts)])
    rows = [part.bin_row + first for part, first in zip(parts, first_row, strict=False)]
    return _collect(
        Windows(
            resolution=parts[0].resolution,
            outcomes=outcomes,
            outcome=np.concatenate(
                [each[part.outcome] for each, part in zip(own, parts, strict=True)]
            ),
            index=np.concatenate([part.index for part in parts]),
            count=np.concatenate([part.count for part in parts]),
            total=np.concatenate([part.total for part in parts]),
            m2=np.concatenate([part.m2 for part in parts]),
            bin_row=np.concatenate(rows),
            bin=np.concatenate([part.bin for part in parts]),
            bin_count=np.concatenate([part.bin_count for part in parts]),
        )
    )


def roll_up(windows: Windows, resolution: Resolution) -> Windows:
    """Return the same in longer windows. resolution: at least as long."""
    if resolution is windows.resolution:
        return windows
    factor = resolution.length_ms // windows.resolution.length_ms
    return _collect(replace(windows, resolution=resolution, index=windows.index // factor))


def of_outcome(windows: Windows, outcome: str) -> Windows:
    """Return the windows of one outcome alone."""
    if outcome not in windows.outcomes:
        return empty_windows(windows.resolution)
    chosen = _chosen(windows, windows.outcome == windows.outcomes.index(outcome))
    return replace(chosen, outcomes=(outcome,), outcome=np.zeros_like(chosen.outcome))


def since(windows: Windows, index: int) -> Windows:
    """Return the windows from `index` on."""
    return _chosen(windows, windows.index >= index)


def _chosen(windows: Windows, kept: NDArray[np.bool_]) -> Windows:
    """Return some of the windows. kept: which, shape (n,)."""
    row = np.cumsum(kept) - 1
    bins = kept[windows.bin_row]
    return replace(
        windows,
        outcome=windows.outcome[kept],
        index=windows.index[kept],
        count=windows.count[kept],
        total=windows.total[kept],
        m2=windows.m2[kept],
        bin_row=row[windows.bin_row[bins]],
        bin=windows.bin[bins],
        bin_count=windows.bin_count[bins],
    )


def _collect(rows: Windows) -> Windows:
    """Return the same with each window, and each bin of it, once and in order.

    Moments are merged as in Chan, Golub, LeVeque 1983, eq. 2.1, for any number of parts.
    """
    if not rows.count.size:
        return empty_windows(rows.resolution)
    first = int(rows.index.min())
    span = int(rows.index.max()) - first + 1
    keys, row = _distinct(rows.outcome * span + (rows.index - first), len(rows.outcomes) * span)
    count = np.bincount(row, weights=rows.count).astype(np.int64)
    total = _sums(row, rows.total)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = rows.total / rows.count - (total / count)[row]
        m2 = _sums(row, rows.m2 + rows.count * apart**2)
    bin_row, bins, bin_count = _collect_bins(row[rows.bin_row], rows.bin, rows.bin_count)
    return Windows(
        resolution=rows.resolution,
        outcomes=rows.outcomes,
        outcome=keys // span,
        index=keys % span + first,
        count=count,
        total=total,
        m2=m2,
        bin_row=bin_row,
        bin=bins,
        bin_count=bin_count,
    )


def _sums(row: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(row, weights=values).astype(np.float64, copy=False)


def _collect_bins(
    row: NDArray[np.int64], index: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    if not row.size:
        return row, index, count
    lowest = int(index.min())
    width = int(index.max()) - lowest + 1
    keys, place = _distinct(row * width + (index - lowest), (int(row.max()) + 1) * width)
    counts = np.bincount(place, weights=count).astype(np.int64)
    return keys // width, keys % width + lowest, counts


def _distinct(keys: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the keys that occur, rising, and each key's place among them; keys in [0, size)."""
    if size > 4 * keys.size + 4096:
        values, places = np.unique(keys, return_inverse=True)
        return values, places
    present = np.zeros(size, np.bool_)
    present[keys] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[keys]
