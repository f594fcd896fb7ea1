"""What windows say: figures of each of them, and of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.histogram import rank
from tidegate_server.analysis.windows import (
    Windows,
    coarse_bin_edges,
    merge_windows,
    of_outcome,
)

SHARES = (0.5, 0.95, 0.99)
"""The quantiles of a timeline: p50, p95, p99."""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Figures of one outcome in each window that has events, rising by time; shapes (n,).

    start_ms: int64, ms since 1970 UTC. rate: events per second of the window's length, which is
    too low for a window that is still open. quantiles: shape (n, number of shares), within 3.1 %,
    and exact for whole numbers below 32; no columns for exposures, which have no values.
    """

    start_ms: NDArray[np.int64]
    count: NDArray[np.int64]
    rate: NDArray[np.float64]
    mean: NDArray[np.float64]
    quantiles: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pooled:
    """Figures of one outcome over several windows.

    count: events, > 0. m2: as in Windows. quantiles: those that were asked for; as exact as a
    timeline's.
    """

    count: int
    total: float
    m2: float
    quantiles: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Return the mean of all events."""
        return self.total / self.count


def timeline(windows: Windows, outcome: str, shares: Sequence[float] = SHARES) -> Timeline:
    """Return the figures of `outcome` in each window. shares: each in (0, 1)."""
    chosen = of_outcome(windows, outcome)
    return Timeline(
        start_ms=chosen.index * chosen.resolution.length_ms,
        count=chosen.count,
        rate=chosen.count / (chosen.resolution.length_ms / 1000),
        mean=chosen.total / chosen.count,
        quantiles=window_quantiles(chosen, shares if outcome else ()),
    )


def pool(windows: Windows, outcome: str, shares: Sequence[float] = ()) -> Pooled | NotEstimable:
    """Return the figures of `outcome` over all windows: its mean over two minutes, say.

    shares: of the quantiles, each in (0, 1); none for exposures.
    """
    chosen = of_outcome(windows, outcome)
    if not chosen.count.size:
        return NotEstimable(Cause.NO_EVENTS)
    one = merge_windows([replace(chosen, index=np.zeros_like(chosen.index))])
    quantiles = tuple(window_quantiles(one, shares)[0].tolist())
    return Pooled(int(one.count[0]), float(one.total[0]), float(one.m2[0]), quantiles)


def window_quantiles(windows: Windows, shares: Sequence[float]) -> NDArray[np.float64]:
    """Return each window's quantiles, shape (n, number of shares). Every window must have bins.

    Entry (i, j) is the smallest v such that at least shares[j] of window i's values are <= v: exact
    where all values lie at the ends of their bins nearer to 0, such as whole numbers below 32, and
    otherwise within 1 / (2 · 16 + 1) = 3.1 % for magnitudes in [2^-20, 2^40] (see `histogram`).
    """
    near, far = coarse_bin_edges(windows.bin)
    rows = windows.count.size
    sums = np.bincount(windows.bin_row, weights=near * windows.bin_count, minlength=rows)
    exact = (sums == windows.total) & ~(_any(windows, near < 0) & _any(windows, near > 0))
    both = near + far
    middle = 2.0 * near * (far / np.where(both == 0.0, 1.0, both))
    values = np.where(exact[windows.bin_row], near, middle)
    cumulative = np.cumsum(windows.bin_count)
    found = np.empty((rows, len(shares)))
    before = np.cumsum(windows.count) - windows.count
    for column, share in enumerate(shares):
        ranks = np.array([rank(share, int(count)) for count in windows.count], np.int64)
        found[:, column] = values[np.searchsorted(cumulative, before + ranks)]
    return found


def _any(windows: Windows, bins: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each window whether any of its `bins` is true."""
    found: NDArray[np.bool_] = np.zeros(windows.count.size, np.bool_)
    found[windows.bin_row[bins]] = True
    return found
