"""Metrics: how outcomes become figures, from any of the three kinds of data."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from tidegate_server.analysis.caps import AbsoluteCap, QuantileCap, capped_pair
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.histogram import is_exact
from tidegate_server.analysis.means import mean_figure, mean_per_unit_figure, unit_mean_figure
from tidegate_server.analysis.phases import Pair, estimable_pair
from tidegate_server.analysis.quantiles import quantile_figure, sample_quantile_figure
from tidegate_server.analysis.rates import count_figure, proportion_figure, rate_figure
from tidegate_server.analysis.samples import Data, LiveOutcome, Sample, UnitTotals, unit_totals


class Statistic(StrEnum):
    """What of an outcome is compared.

    MEAN: per event. MEAN_PER_UNIT: the units' sums; units without events count with 0.
    PROPORTION: of units whose sum is not 0. RATE: events per unit. COUNT: events.
    """

    MEAN = "mean"
    MEAN_PER_UNIT = "mean_per_unit"
    PROPORTION = "proportion"
    RATE = "rate"
    COUNT = "count"
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"


SHARES = {
    Statistic.P50: 0.5,
    Statistic.P90: 0.9,
    Statistic.P95: 0.95,
    Statistic.P99: 0.99,
}
"""The share of events at or below each quantile, rising."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How an outcome becomes a figure.

    cap: registered beforehand; it bounds single values for statistics of events, and the units'
    sums for MEAN_PER_UNIT.
    """

    statistic: Statistic = Statistic.MEAN
    cap: AbsoluteCap | QuantileCap | None = None


Figured: TypeAlias = Figure | NotEstimable


def figures_of(control: Data, treatment: Data, metric: Metric) -> Pair | NotEstimable:
    """Return both arms' figures of one metric, or why one is missing.

    Caps need raw events, or sums per unit for MEAN_PER_UNIT; to live aggregates an absolute cap
    must be applied when events are folded.
    """
    per_unit = metric.statistic is Statistic.MEAN_PER_UNIT
    if per_unit:
        control, treatment = _by_unit(control), _by_unit(treatment)
    if metric.cap is not None:
        pair = capped_pair(control, treatment, metric.cap, by_unit=per_unit)
        if isinstance(pair, NotEstimable):
            return pair
        control, treatment = pair
    exact = _exact(control) and _exact(treatment)
    return estimable_pair(
        figure_of(control, metric.statistic, exact=exact),
        figure_of(treatment, metric.statistic, exact=exact),
    )


def figure_of(data: Data, statistic: Statistic, *, exact: bool = False) -> Figured:
    """Return one arm's figure.

    exact: whether live values of both arms are known to lie at the ends of their bins
    (`histogram.is_exact`); of use for quantiles only.
    """
    if statistic in SHARES:
        return _quantile(data, SHARES[statistic], exact=exact)
    if isinstance(data, Sample):
        data = unit_totals(data) if statistic is not Statistic.PROPORTION else _any_event(data)
    match statistic:
        case Statistic.MEAN:
            if isinstance(data, LiveOutcome):
                return mean_figure(data.outcome.cells)
            return unit_mean_figure(data)
        case Statistic.MEAN_PER_UNIT:
            return mean_per_unit_figure(data)
        case Statistic.RATE:
            return rate_figure(data)
        case Statistic.COUNT:
            return count_figure(data)
    if isinstance(data, LiveOutcome):
        return NotEstimable(Cause.NEEDS_UNITS)
    return proportion_figure(data)


def _quantile(data: Data, share: float, *, exact: bool) -> Figured:
    if isinstance(data, LiveOutcome):
        return quantile_figure(data.outcome.histogram, share, exact=exact)
    if isinstance(data, UnitTotals):
        return NotEstimable(Cause.NEEDS_EVENTS)
    return sample_quantile_figure(data, share)


def _exact(data: Data) -> bool:
    return isinstance(data, LiveOutcome) and is_exact(data.outcome.histogram, data.outcome.cells)


def _by_unit(data: Data) -> Data:
    return unit_totals(data) if isinstance(data, Sample) else data


def _any_event(events: Sample) -> UnitTotals:
    """Return for each unit how many of its events are not 0: sums could cancel."""
    return unit_totals(Sample(events.unit, (events.values != 0.0).astype(np.float64), events.units))
