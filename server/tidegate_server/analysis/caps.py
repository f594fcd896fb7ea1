"""Caps on heavy tails, registered before the data are seen (winsorising).

One unit with a thousand times the usual value would decide a mean by itself. A cap is applied to
both arms alike; where it is a quantile, to the control's, so that the treatment can't move it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.samples import Data, Sample, UnitTotals


@dataclass(frozen=True, slots=True)
class AbsoluteCap:
    """Values above `upper` count as `upper`, in the outcome's unit."""

    upper: float


@dataclass(frozen=True, slots=True)
class QuantileCap:
    """Values above the quantile at `share`, in (0, 1), of all the control's values count as it."""

    share: float


def cap_limit(cap: AbsoluteCap | QuantileCap, control: NDArray[np.float64]) -> float | NotEstimable:
    """Return the greatest value that is let through.

    control: the control's values, of all phases pooled. Of a quantile: the inverse of the
    empirical distribution (definition 1 of Hyndman and Fan 1996).

    Raises:
        ValueError: a quantile's share is not in (0, 1).
    """
    if isinstance(cap, AbsoluteCap):
        return cap.upper
    if not 0 < cap.share < 1:
        raise ValueError(f"share: must be in (0, 1), not {cap.share}")
    if control.size == 0:
        return NotEstimable(Cause.NO_EVENTS, "control")
    return float(np.quantile(control, cap.share, method="inverted_cdf"))


def capped_pair(
    control: Data, treatment: Data, cap: AbsoluteCap | QuantileCap, *, by_unit: bool
) -> tuple[Data, Data] | NotEstimable:
    """Return both arms with their values (or with `by_unit` the sums of their units) capped."""
    kind = UnitTotals if by_unit else Sample
    if not (isinstance(control, kind) and isinstance(treatment, kind)):
        return NotEstimable(Cause.CAP_TOO_LATE)
    limit = cap_limit(cap, _values(control))
    if isinstance(limit, NotEstimable):
        return limit
    return _capped(control, limit), _capped(treatment, limit)


def _values(data: UnitTotals | Sample) -> NDArray[np.float64]:
    return data.total if isinstance(data, UnitTotals) else data.values


def _capped(data: UnitTotals | Sample, limit: float) -> UnitTotals | Sample:
    if isinstance(data, UnitTotals):
        return UnitTotals(data.count, np.minimum(data.total, limit))
    return Sample(data.unit, np.minimum(data.values, limit), data.units)
