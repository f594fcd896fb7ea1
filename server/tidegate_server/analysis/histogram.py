"""Logarithmic histograms: fixed memory, quantiles within 0.8 %.

A positive float's bits, read as an integer, rise with its value; their upper part is the exponent
and the first bits of the mantissa. That part, counted from SMALLEST, is the bin: 64 to an octave.

    bin 0       |v| < 2^-20, taken as 0
    bin i > 0   edge(i) <= v < edge(i + 1); the top bin also takes all that is larger
    bin -i      -edge(i + 1) < v <= -edge(i)
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import (
    BINS_PER_OCTAVE,
    GROUPS,
    Cells,
    Histogram,
)

SMALLEST = 2.0**-20
"""Smallest magnitude that is told from 0."""

LARGEST = 2.0**40
"""Largest magnitude with a bin of its own; larger values share its bin."""

_SHIFT = 52 - (BINS_PER_OCTAVE.bit_length() - 1)
_FIRST = int(np.float64(SMALLEST).view(np.int64)) >> _SHIFT
TOP_BIN = (int(np.float64(LARGEST).view(np.int64)) >> _SHIFT) - _FIRST + 1
"""Index of the last bin; the first is -TOP_BIN."""


def bin_index(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each value, in [-TOP_BIN, TOP_BIN]. values: any shape, finite."""
    magnitude = np.abs(values)
    index: NDArray[np.int64] = (magnitude.view(np.int64) >> _SHIFT) - (_FIRST - 1)
    np.clip(index, 0, TOP_BIN, out=index)
    return np.negative(index, out=index, where=values < 0)


def _edge(magnitude: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the least value of each bin >= 1."""
    return ((magnitude + (_FIRST - 1)) << _SHIFT).view(np.float64)


def bin_edges(index: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of each bin, the one nearer to 0 first; both are 0 for bin 0."""
    magnitude = np.abs(index)
    sign = np.sign(index)
    return sign * _edge(magnitude), sign * _edge(magnitude + 1)


def representative(index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the value that stands for each bin: within 0.8 % of all the bin's values.

    It is the ends' harmonic mean, whose relative error is the same at both: 1 / (2 · 64 + 1) in
    the widest bin. Above LARGEST no bound holds.
    """
    near, far = bin_edges(index)
    both = near + far
    return 2.0 * near * (far / np.where(both == 0.0, 1.0, both))


def histogram_of(group: NDArray[np.int64], values: NDArray[np.float64]) -> Histogram:
    """Count `values` by group. group: shape (n,), in [0, GROUPS). values: shape (n,), finite."""
    if values.size == 0:
        return Histogram.empty()
    index = bin_index(values)
    lowest = int(index.min())
    width = int(index.max()) - lowest + 1
    flat = np.bincount(group * width + (index - lowest), minlength=GROUPS * width)
    return Histogram(lowest, flat.reshape(GROUPS, width))


def merge_histograms(left: Histogram, right: Histogram) -> Histogram:
    """Return the counts of both, over all bins of either."""
    if left.counts.shape[1] == 0:
        return right
    if right.counts.shape[1] == 0:
        return left
    lowest = min(left.lowest, right.lowest)
    end = max(h.lowest + h.counts.shape[1] for h in (left, right))
    counts = np.zeros((GROUPS, end - lowest), np.int64)
    for each in (left, right):
        start = each.lowest - lowest
        counts[:, start : start + each.counts.shape[1]] += each.counts
    return Histogram(lowest, counts)


def bins(histogram: Histogram) -> NDArray[np.int64]:
    """Return the index of each column's bin, shape (width,)."""
    return np.arange(histogram.lowest, histogram.lowest + histogram.counts.shape[1])


def occupied_bins(histogram: Histogram) -> NDArray[np.int64]:
    """Return the bins that hold a value, rising."""
    return histogram.lowest + np.flatnonzero(histogram.counts.any(axis=0))


def is_exact(histogram: Histogram, cells: Cells) -> bool:
    """Tell whether every value lies at its bin's end nearer to 0: whole numbers below 128, say.

    No value lies nearer to 0 than that end, so if none is negative (or none positive) the values
    add up to the sum of the ends only when each is equal to it. With both signs the answer is no.
    """
    pooled = histogram.counts.sum(axis=0)
    index = bins(histogram)[pooled > 0]
    if index.size == 0 or (index[0] < 0 < index[-1]):
        return False
    near, _ = bin_edges(index)
    return float(pooled[pooled > 0] @ near) == float(cells.total.sum())


def rank(share: float, events: int) -> int:
    """Return the least whole number >= share · events, at least 1, safe from rounding."""
    return max(1, math.ceil(round(share * events, 9)))


def quantiles(histogram: Histogram, cells: Cells, shares: Sequence[float]) -> tuple[float, ...]:
    """Return, for each share, the smallest v such that at least `share` of all values are <= v.

    shares: each in (0, 1). The histogram must hold a value. The answer is exact where values lie at
    the ends of bins (`is_exact`), and otherwise within 0.8 % for magnitudes in [2^-20, 2^40].

    Source: the inverse of the empirical distribution, definition 1 of Hyndman and Fan 1996.
    """
    cumulative = histogram.counts.sum(axis=0).cumsum()
    ranks = [rank(share, int(cumulative[-1])) for share in shares]
    index = bins(histogram)[np.searchsorted(cumulative, ranks)]
    values = bin_edges(index)[0] if is_exact(histogram, cells) else representative(index)
    return tuple(values.tolist())
