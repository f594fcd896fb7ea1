"""How much the events of one unit are alike, and what that costs."""

import math

import numpy as np

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.samples import Sample, unit_totals


@np.errstate(over="ignore", invalid="ignore")
def intraclass_correlation(events: Sample) -> float | NotEstimable:
    """Return the part of the variance that is between units, in [0, 1], from raw events.

    The analysis-of-variance estimate (MSB - MSW) / (MSB + (m₀ - 1) MSW) with
    m₀ = (N - Σ m²/N) / (k - 1), set to 0 where it is below (Donner 1986, Internat. Statist. Rev.
    54, 67-82). Needs two units with events, and one with two.
    """
    totals = unit_totals(events)
    seen = totals.count > 0
    count, units = totals.count[seen].astype(float), int(seen.sum())
    number = float(count.sum())
    if units < 2 or number <= units:
        return NotEstimable(Cause.TOO_FEW_UNITS)
    means = totals.total[seen] / count
    between = float(count @ (means - totals.total.sum() / number) ** 2) / (units - 1)
    own = totals.total[events.unit] / totals.count[events.unit]
    within = float(((events.values - own) ** 2).sum()) / (number - units)
    size = (number - float(count @ count) / number) / (units - 1)
    spread = between + (size - 1) * within
    if not math.isfinite(spread):
        return NotEstimable(Cause.OVERFLOW)
    if spread == 0.0:
        return NotEstimable(Cause.ZERO_VARIANCE)
    return min(max((between - within) / spread, 0.0), 1.0)


def design_effect(events_per_unit: float, icc: float, variation: float = 0.0) -> float:
    """Return by what factor clusters enlarge the variance of a mean per event.

    1 + ((cv² + 1) m - 1) ICC, with m events per unit >= 1 and cv = `variation` >= 0 their deviation
    as a part of m (Eldridge, Ashby, Kerry 2006, Internat. J. Epidemiology 35, 1292-1300).
    icc: in [0, 1]. Equal numbers have cv 0; geometric ones nearly 1.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 1 <= events_per_unit < math.inf:
        raise ValueError(f"events_per_unit: must be a number >= 1, not {events_per_unit}")
    if not 0 <= icc <= 1:
        raise ValueError(f"icc: must be in [0, 1], not {icc}")
    if not 0 <= variation < math.inf:
        raise ValueError(f"variation: must be a number >= 0, not {variation}")
    return 1 + ((variation**2 + 1) * events_per_unit - 1) * icc


def unit_deviation(
    deviation: float, events_per_unit: float = 1, icc: float = 0.0, variation: float = 0.0
) -> float:
    """Return the deviation that one unit stands for: its square / units is a mean's variance.

    deviation: between single events. The rest as in `design_effect`.
    """
    factor = design_effect(events_per_unit, icc, variation)
    return deviation * math.sqrt(factor / events_per_unit)


def unit_deviation_of(figure: Figure, units: float) -> float:
    """Return the same from data: of an arm with this many units, > 0."""
    return figure.standard_error * math.sqrt(units)
