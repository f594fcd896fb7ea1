"""Ranks compared: how often the treatment's value is the larger one, whatever the tails."""

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tidegate_server.analysis.effects import Alternative, Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable


@dataclass(frozen=True, slots=True)
class RankComparison:
    """The Mann-Whitney test.

    statistic: U of the treatment, the pairs in which its value is larger, ties counting one half.
    probability: U as a part of all pairs, in [0, 1]; one half is no difference.
    interval: of the probability; not estimable where no value lies between those of the other arm.
    p_value: in (0, 1].
    """

    statistic: float
    probability: float
    interval: Interval | NotEstimable
    p_value: float


def mann_whitney(
    control: NDArray[np.float64],
    treatment: NDArray[np.float64],
    *,
    alternative: Alternative = Alternative.TWO_SIDED,
    confidence: float = 0.95,
) -> RankComparison | NotEstimable:
    """Compare raw values, one for each unit; shapes (n,), at least two in each arm.

    The p-value is the normal approximation with corrections for ties and continuity (Mann and
    Whitney 1947; Lehmann 1975, "Nonparametrics", ch. 1). It tests that both arms have
    one distribution. The interval does without that: its variance is that of the placements
    (DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44, 837-845). Means of clustered requests must
    be taken per unit first.

    Raises:
        ValueError: a value is not a number.
    """
    if np.isnan(control).any() or np.isnan(treatment).any():
        raise ValueError("control, treatment: must be numbers; leave out what was not measured")
    if min(control.size, treatment.size) < 2:
        return NotEstimable(Cause.TOO_FEW_UNITS)
    if min(control.min(), treatment.min()) == max(control.max(), treatment.max()):
        return NotEstimable(Cause.ZERO_VARIANCE)
    pairs = float(control.size) * float(treatment.size)
    in_control = _placements(treatment, np.sort(control))
    in_treatment = _placements(control, np.sort(treatment))
    probability = float(in_control.mean())
    tied = _tie_correction(np.concatenate([control, treatment]))
    deviation = math.sqrt(pairs * (control.size + treatment.size + 1 - tied) / 12)
    excess = pairs * (probability - 0.5)
    error = math.sqrt(
        float(in_control.var(ddof=1)) / treatment.size
        + float(in_treatment.var(ddof=1)) / control.size
    )
    reach = float(ndtri((1 + confidence) / 2)) * error
    return RankComparison(
        statistic=pairs * probability,
        probability=probability,
        interval=Interval(max(probability - reach, 0.0), min(probability + reach, 1.0))
        if error
        else NotEstimable(Cause.ZERO_VARIANCE),
        p_value=_p_value(excess, deviation, alternative),
    )


def _p_value(excess: float, deviation: float, alternative: Alternative) -> float:
    if alternative is Alternative.TWO_SIDED:
        p = min(1.0, 2 * float(ndtr(-(abs(excess) - 0.5) / deviation)))
    else:
        sign = 1.0 if alternative is Alternative.GREATER else -1.0
        p = float(ndtr(-(sign * excess - 0.5) / deviation))
    return max(p, sys.float_info.min)


def _placements(
    values: NDArray[np.float64], sorted_others: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of the others that each value exceeds, ties counting one half."""
    below = np.searchsorted(sorted_others, values, side="left")
    up_to = np.searchsorted(sorted_others, values, side="right")
    placed: NDArray[np.float64] = (below + up_to) / (2 * sorted_others.size)
    return placed


def _tie_correction(values: NDArray[np.float64]) -> float:
    """Return the sum of t³ - t over groups of t equal values, divided by n (n - 1)."""
    _, equal = np.unique(values, return_counts=True)
    ties = equal.astype(np.float64)
    return float((ties**3 - ties).sum()) / (values.size * (values.size - 1.0))
