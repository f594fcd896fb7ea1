"""Quantiles of events with intervals that respect clusters: of grouped histograms, raw events."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tidegate_server.analysis.aggregates import Histogram
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, cluster_error
from tidegate_server.analysis.histogram import bin_edges, bins
from tidegate_server.analysis.samples import Sample


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
        column = int(self.cumulative.searchsorted(position))
        before = float(self.cumulative[column] - self.pooled[column])
        return column, (position - before) / float(self.pooled[column])

    def value(self, share: float) -> float:
        """Return the quantile, values being spread evenly within their bin."""
        column, part = self.locate(share)
        return float(self.low[column] + part * (self.high[column] - self.low[column]))


def quantile_figures(
    histogram: Histogram, shares: Sequence[float], *, exact: bool
) -> list[Figure | NotEstimable]:
    """Return the quantile at each share, in (0, 1), with errors that respect clusters.

    exact: whether every value is known to lie at its bin's end nearer to 0 (`is_exact`, asked of
    both arms); otherwise values are taken to be spread evenly within their bins, so that the
    figure may differ from `histogram.quantiles` by part of a bin (0.8 %).

    The share of events below the quantile is a ratio of group totals; its delta-method error e is
    that of Deng, Knoblich, Lu 2018 (arXiv:1803.06336), §4.2. Instead of dividing e by an estimated
    density, the quantiles at share ± t·e are read off the distribution itself: an interval that
    holds with ties and gaps, where a density does not exist (Woodruff 1952, JASA 47, 635-646). Its
    two halves, divided by t, are the errors below and above (Francisco and Fuller 1991).
    """
    in_group = histogram.counts.sum(axis=1)
    if not in_group.any():
        return [NotEstimable(Cause.NO_EVENTS) for _ in shares]
    distribution = _distribution(histogram, exact=exact)
    found = []
    for share in shares:
        column, part = distribution.locate(share)
        under = histogram.counts[:, :column].sum(axis=1) + part * histogram.counts[:, column]
        found.append(_figure(distribution, share, in_group, under))
    return found


def quantile_figure(histogram: Histogram, share: float, *, exact: bool) -> Figure | NotEstimable:
    """Return one of `quantile_figures`."""
    return quantile_figures(histogram, (share,), exact=exact)[0]


def sample_quantile_figure(events: Sample, share: float) -> Figure | NotEstimable:
    """Return the quantile at `share`, in (0, 1), of raw events, units being the clusters.

    The value is exact: the inverse of the empirical distribution. Errors as in `quantile_figure`.
    """
    if events.values.size == 0:
        return NotEstimable(Cause.NO_EVENTS)
    values, place, pooled = np.unique(events.values, return_inverse=True, return_counts=True)
    distribution = _Distribution(pooled, pooled.cumsum(), values, values)
    column, part = distribution.locate(share)
    below = np.where(place < column, 1.0, np.where(place == column, part, 0.0))
    return _figure(
        distribution,
        share,
        np.bincount(events.unit, minlength=events.units),
        np.bincount(events.unit, weights=below, minlength=events.units).astype(np.float64),
    )


def _figure(
    distribution: _Distribution,
    share: float,
    in_cluster: NDArray[np.int64],
    under: NDArray[np.float64],
) -> Figure | NotEstimable:
    """Return the quantile, given how many events each cluster has, in all and below it."""
    occupied = in_cluster > 0
    clusters = int(np.count_nonzero(occupied))
    if clusters < 2:
        return NotEstimable(Cause.TOO_FEW_CELLS)
    events = int(in_cluster.sum())
    influence = (share * in_cluster - under) / events
    error = cluster_error(influence, occupied)
    critical = float(stdtrit(clusters - 1, 0.975))
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
