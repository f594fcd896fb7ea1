"""Proportions of units, rates of events and counts, with errors that hold where events are rare."""

import math

import numpy as np

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import NORMAL, Figure, bare_figure, cluster_error
from tidegate_server.analysis.means import events_per_unit_figure
from tidegate_server.analysis.samples import LiveOutcome, UnitTotals
from tidegate_server.analysis.units import count_units

_Z = 1.959963984540054
"""The normal quantile at 0.975: score errors are a score interval's halves divided by it."""


def proportion_of_moments(successes: int, units: int) -> Figure | NotEstimable:
    """Return successes / units with score errors.

    0 <= successes <= units. The errors are the halves of Wilson's interval (1927, JASA 22,
    209-212) divided by 1.96, so they are not 0 where no unit, or each, is a success; two such
    figures compared give Newcombe's interval (1998, Statist. Med. 17, 873-890, method 10).

    Raises:
        ValueError: the successes are not within [0, units].
    """
    if not 0 <= successes <= units:
        raise ValueError(f"successes: must be in [0, {units}], not {successes}")
    if units < 2:
        return NotEstimable(Cause.TOO_FEW_UNITS)
    share = successes / units
    below, above = _wilson_errors(share, units)
    return bare_figure(share, below, above, units)


def proportion_figure(totals: UnitTotals) -> Figure | NotEstimable:
    """Return the share of units whose total is not 0, with score errors as above."""
    success = totals.total != 0.0
    bare = proportion_of_moments(int(success.sum()), totals.units)
    if isinstance(bare, NotEstimable):
        return bare
    influence = (success - bare.value) / totals.units
    occupied = np.ones(totals.units, np.bool_)
    return Figure(bare.value, bare.below, bare.above, influence, occupied, totals.units, NORMAL)


def rate_figure(data: UnitTotals | LiveOutcome) -> Figure | NotEstimable:
    """Return the events per unit, with score errors of a rate that is over-dispersed.

    The dispersion φ is the delta-method variance beside Poisson's; at least 1 - rate, a coin's,
    so that no event yet still has an error above. With x events the limits are
    x + z²φ/2 ± z·sqrt(φx + z²φ²/4), the inverse of Rao's score test for a quasi-Poisson rate
    (McCullagh and Nelder 1989, ch. 6, for φ). With many events this is the delta method.
    """
    figure = events_per_unit_figure(data)
    if isinstance(figure, NotEstimable):
        return figure
    units = _units(data)
    rate, error = figure.value, figure.standard_error
    dispersion = max(error * error * units / rate if rate else 0.0, 1 - rate, 0.0)
    below, above = _poisson_errors(rate, units, dispersion)
    return Figure(
        rate, below, above, figure.influence, figure.occupied, figure.events, figure.known_degrees
    )


def count_figure(data: UnitTotals | LiveOutcome) -> Figure | NotEstimable:
    """Return the number of events, with the error of a sum over a random number of units.

    Sums per unit: sqrt(sum of squared counts), the compound Poisson's. Live aggregates: that of
    256 independent cells. Compare counts only of arms that had the same share of traffic; else
    use the rate.
    """
    if isinstance(data, UnitTotals):
        count = data.count.astype(np.float64)
        error = math.sqrt(float(count @ count))
    else:
        count = data.outcome.cells.count.astype(np.float64)
        error = cluster_error(count - count.mean(), np.ones(count.size, np.bool_))
    events = int(count.sum())
    if events < 2:
        return NotEstimable(Cause.TOO_FEW_EVENTS if events else Cause.NO_EVENTS)
    return bare_figure(float(events), error, error, events)


def _units(data: UnitTotals | LiveOutcome) -> float:
    """Return the arm's units; the bitmap is known not to be full."""
    if isinstance(data, UnitTotals):
        return float(data.units)
    counted = count_units(data.units)
    return 0.0 if isinstance(counted, NotEstimable) else counted.units


def _wilson_errors(share: float, units: int) -> tuple[float, float]:
    """Return the halves of Wilson's interval, divided by z."""
    part = _Z * _Z / units
    shift = _Z / units * (0.5 - share) / (1 + part)
    reach = math.sqrt(share * (1 - share) / units + part / (4 * units)) / (1 + part)
    return max(reach - shift, 0.0), reach + shift


def _poisson_errors(rate: float, units: float, dispersion: float) -> tuple[float, float]:
    """Return the halves of the score interval of an over-dispersed rate, divided by z."""
    shift = _Z * dispersion / (2 * units)
    reach = math.sqrt(dispersion * rate / units + shift * shift)
    return max(reach - shift, 0.0), reach + shift
