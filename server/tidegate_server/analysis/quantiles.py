"""Quantiles of events with intervals that respect clusters, from grouped histograms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tidegate_server.analysis.aggregates import Histogram
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, cluster_error
from tidegate_server.analysis.histogram import bin_edges, bins


@dataclass(frozen=True, slots=True, eq=False)
class _Distribution:
    """The pooled distribution: column j holds `pooled[j]` values in [low[j], high[j]]."""

    pooled: NDArray[np.int64]
    cumulative: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def locate(self, share: float) -> tuple[int, float]:
        """Return the column that holds the quantile, and the part of it that lies below."""
        position = share * float(self.cumulative[-1])
        column = int(np.searchsorted(self.cumulative, position))
        before = float(self.cumulative[column] - self.pooled[column])
        return column, (position - before) / float(self.pooled[column])

    def value(self, share: float) -> float:
        """Return the quantile, values being spread evenly within their bin."""
        column, part = self.locate(share)
        return float(self.low[column] + part * (self.high[column] - self.low[column]))


def quantile_figure(histogram: Histogram, share: float, *, exact: bool) -> Figure | NotEstimable:
    """Return the quantile at `share`, in (0, 1), with errors that respect clusters.

    exact: whether every value is known to lie at its bin's end nearer to 0 (`is_exact`, asked of
    both arms); otherwise values are taken to be spread evenly within their bins, so that the
    figure may differ from `histogram.quantiles` by part of a bin (0.8 %).

    The share of events below the quantile is a ratio of group totals; its delta-method error e is
    that of Deng, Knoblich, Lu 2018 (arXiv:1803.06336), §4.2. Instead of dividing e by an estimated
    density, the quantiles at share ± t·e are read off the distribution itself: an interval that
    holds with ties and gaps, where a density does not exist (Woodruff 1952, JASA 47, 635-646). Its
    two halves, divided by t, are the errors below and above (Francisco and Fuller 1991).
    """
    distribution = _distribution(histogram, exact=exact)
    events = int(distribution.cumulative[-1]) if distribution.cumulative.size else 0
    if events == 0:
        return NotEstimable(Cause.NO_EVENTS)
    in_group = histogram.counts.sum(axis=1)
    occupied = in_group > 0
    if int(occupied.sum()) < 2:
        return NotEstimable(Cause.TOO_FEW_CELLS)
    column, part = distribution.locate(share)
    under = histogram.counts[:, :column].sum(axis=1) + part * histogram.counts[:, column]
    influence = (share * in_group - under) / events
    error = cluster_error(influence, occupied)
    critical = float(stdtrit(int(occupied.sum()) - 1, 0.975))
    reach = critical * error
    if not reach < min(share, 1.0 - share):
        return NotEstimable(Cause.TAIL_TOO_SMALL)
    value = distribution.value(share)
    below = (value - distribution.value(share - reach)) / critical
    above = (distribution.value(share + reach) - value) / critical
    scale = (below + above) / 2 / error if error else 0.0
    return Figure(value, below, above, influence * scale, occupied, events)


def _distribution(histogram: Histogram, *, exact: bool) -> _Distribution:
    pooled = histogram.counts.sum(axis=0)
    near, far = bin_edges(bins(histogram))
    if exact:
        return _Distribution(pooled, pooled.cumsum(), near, near)
    return _Distribution(pooled, pooled.cumsum(), np.minimum(near, far), np.maximum(near, far))
