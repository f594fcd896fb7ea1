"""The mean per event and per unit, units being the independent observations."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import CELLS_PER_GROUP, GROUPS, Cells
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, bare_figure, cluster_error
from tidegate_server.analysis.moments import sample_deviation
from tidegate_server.analysis.samples import LiveOutcome, UnitTotals
from tidegate_server.analysis.units import count_units_by_row

_CONSTANT = 1e-10
"""Values that spread by less than this part of their mean are constant: their sums are not exact
enough to tell (a sum of n floats is off by up to n · 1.1e-16 of it: Higham 2002, §4.2)."""

_BALANCED = 1e-14
"""Likewise cells whose means are equal but for the rounding of one division."""

_OVERFLOW = NotEstimable(Cause.OVERFLOW)

Counts = NDArray[np.int64] | NDArray[np.float64]


def mean_figure(cells: Cells) -> Figure | NotEstimable:
    """Return the mean per event, a ratio of totals, with its delta-method error from cells.

    Assumes that units are independent and hashed into cells at random; see `ratio_figure`.
    """
    if not cells.count.any():
        return NotEstimable(Cause.NO_EVENTS)
    if np.count_nonzero(cells.count) < 2:
        return NotEstimable(Cause.TOO_FEW_CELLS)
    deviation = sample_deviation(cells)
    if isinstance(deviation, NotEstimable):
        return deviation
    return _settled(ratio_figure(cells.total, cells.count), deviation)


def design_effect_of(cells: Cells) -> float | NotEstimable:
    """Return by what factor clusters enlarge the variance of the mean per event, > 0, from data.

    The variance by cells over that of independent events, s²/n (Kish 1965, Survey Sampling, §8.2).
    """
    figure, deviation = mean_figure(cells), sample_deviation(cells)
    if isinstance(figure, NotEstimable):
        return figure
    if isinstance(deviation, NotEstimable):
        return deviation
    if deviation == 0.0 or figure.standard_error == 0.0:
        return NotEstimable(Cause.ZERO_VARIANCE)
    return (figure.standard_error / deviation) ** 2 * int(cells.count.sum())


def unit_mean_figure(totals: UnitTotals) -> Figure | NotEstimable:
    """Return the mean per event with its delta-method error from the units themselves."""
    if not totals.count.any():
        return NotEstimable(Cause.NO_EVENTS)
    return _ratio_by_unit(totals.total, totals.count)


def mean_per_unit_figure(data: UnitTotals | LiveOutcome) -> Figure | NotEstimable:
    """Return the sum of an outcome per unit; units without events count with 0.

    From sums per unit it is the plain mean with its standard error. From live aggregates it is a
    ratio of totals of the 64 groups of cells, in which units are counted by the bitmap's rows;
    what linear counting adds to the error is in the scatter between groups.
    """
    if isinstance(data, UnitTotals):
        return _ratio_by_unit(data.total, _ones(data.units))
    return _per_counted_unit(data, data.outcome.cells.total)


def events_per_unit_figure(data: UnitTotals | LiveOutcome) -> Figure | NotEstimable:
    """Return the number of events per unit, with symmetric errors; see `rates.rate_figure`."""
    if isinstance(data, UnitTotals):
        return _ratio_by_unit(data.count.astype(np.float64), _ones(data.units))
    return _per_counted_unit(data, data.outcome.cells.count.astype(np.float64))


def _ones(units: int) -> NDArray[np.float64]:
    """Return as many ones, which take no memory."""
    return np.broadcast_to(np.float64(1.0), units)


def _per_counted_unit(data: LiveOutcome, total: NDArray[np.float64]) -> Figure | NotEstimable:
    units = count_units_by_row(data.units)
    if isinstance(units, NotEstimable):
        return units
    by_group = total.reshape(GROUPS, CELLS_PER_GROUP).sum(axis=1)
    return _ratio_by_unit(by_group, units)


def _ratio_by_unit(numerator: NDArray[np.float64], denominator: Counts) -> Figure | NotEstimable:
    occupied = denominator > 0
    if np.count_nonzero(occupied) < 2:
        return NotEstimable(Cause.TOO_FEW_UNITS)
    with np.errstate(over="ignore", invalid="ignore"):
        figure = ratio_figure(numerator, denominator)
    if not (math.isfinite(figure.value) and math.isfinite(figure.below)):
        return _OVERFLOW
    if figure.below > _CONSTANT * abs(figure.value):
        return figure
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float((numerator[occupied] / denominator[occupied]).std())
    return _settled(figure, deviation) if math.isfinite(deviation) else _OVERFLOW


def ratio_figure(numerator: NDArray[np.float64], denominator: Counts) -> Figure:
    """Return a ratio of totals over independent clusters, with its delta-method error.

    numerator, denominator: shape (clusters,); at least two denominators > 0. The influence of
    cluster k is (S_k - R N_k) / N, with S_k and N_k its numerator and denominator, and R = S / N.
    Source: Deng, Knoblich, Lu 2018 (arXiv:1803.06336), §3.
    """
    occupied = denominator > 0
    whole = float(denominator.sum())
    ratio = float(numerator.sum()) / whole
    influence: NDArray[np.float64] = ratio * denominator.astype(np.float64, copy=False)
    np.subtract(numerator, influence, out=influence)
    influence /= whole
    error = cluster_error(influence, occupied)
    return Figure(ratio, error, error, influence, occupied, round(whole))


def _settled(figure: Figure, deviation: float) -> Figure:
    """Return the figure, its error 0 if it is but that of rounding. deviation: of the values."""
    varied = deviation > _CONSTANT * abs(figure.value)
    if varied and figure.below > _BALANCED * math.hypot(figure.value, deviation):
        return figure
    return replace(figure, below=0.0, above=0.0, influence=np.zeros_like(figure.influence))


def mean_of_moments(units: int, mean: float, variance: float) -> Figure | NotEstimable:
    """Return the mean of `units` independent values, of which only moments are known.

    variance: with divisor units - 1, >= 0. Compared, such figures give Welch's t-test.

    Raises:
        ValueError: the variance is negative.
    """
    if variance < 0:
        raise ValueError(f"variance: must be >= 0, not {variance}")
    if units < 2:
        return NotEstimable(Cause.TOO_FEW_UNITS)
    if not (math.isfinite(mean) and math.isfinite(variance)):
        return NotEstimable(Cause.OVERFLOW)
    error = math.sqrt(variance / units)
    return bare_figure(mean, error, error, units, units - 1)


def ratio_of_moments(
    units: int,
    totals: tuple[float, float],
    counts: tuple[float, float],
    covariance: float,
) -> Figure | NotEstimable:
    """Return the ratio of two means over units, of which only moments are known.

    totals, counts: (mean, variance) of the units' numerators and denominators; variances and the
    covariance with divisor units - 1. The variance is
    (var_S - 2 R cov + R² var_N) / (units · mean_N²): Deng, Knoblich, Lu 2018, §3.
    """
    if units < 2:
        return NotEstimable(Cause.TOO_FEW_UNITS)
    if counts[0] <= 0:
        return NotEstimable(Cause.NO_EVENTS)
    ratio = totals[0] / counts[0]
    terms = (totals[1], -2 * ratio * covariance, ratio * ratio * counts[1])
    variance = sum(terms)
    if not math.isfinite(variance):
        return NotEstimable(Cause.OVERFLOW)
    if variance <= 1e-14 * sum(map(abs, terms)):
        variance = 0.0
    error = math.sqrt(variance / units) / counts[0]
    return bare_figure(ratio, error, error, round(units * counts[0]), units - 1)
