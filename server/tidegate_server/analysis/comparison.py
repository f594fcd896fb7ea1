"""Two arms compared at a fixed horizon: one look, at a planned size."""

import math
import sys
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure

CONFIDENCE = 0.95
"""Confidence of every interval, two-sided."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval: lower <= upper, both finite."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A treatment against the control.

    control, treatment, difference (treatment less control), interval: in the outcome's unit.
    relative_difference: the difference as a part of the control's magnitude (0.05 is 5 %); its
        sign is that of `difference`.
    p_value: two-sided, in (0, 1].
    degrees: Welch's degrees of freedom, > 0.
    """

    control: float
    treatment: float
    difference: float
    interval: Interval
    relative_difference: float | NotEstimable
    relative_interval: Interval | NotEstimable
    p_value: float
    degrees: float


def compare(control: Figure, treatment: Figure) -> Estimate | NotEstimable:
    """Compare two independent arms.

    The interval squares and adds the arms' errors on the sides that matter: below for the
    treatment with above for the control, and the reverse (Zou and Donner 2008, "Construction of
    confidence limits about effect measures", Statist. Med. 27, 1693-1702). For means, whose errors
    are equal on both sides, interval and p-value are Welch's (1947); otherwise the p-value takes
    the error towards 0, so that it is below 5 % where the interval excludes 0, and only there.
    """
    difference = treatment.value - control.value
    below = math.hypot(treatment.below, control.above)
    above = math.hypot(treatment.above, control.below)
    towards_zero = below if difference > 0 else above
    if towards_zero == 0.0 and (difference != 0.0 or below == above):
        return NotEstimable(Cause.ZERO_VARIANCE)
    degrees = welch_degrees(
        control.standard_error, control.degrees, treatment.standard_error, treatment.degrees
    )
    critical = float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
    interval = Interval(difference - critical * below, difference + critical * above)
    if not (math.isfinite(interval.lower) and math.isfinite(interval.upper)):
        return NotEstimable(Cause.OVERFLOW)
    statistic = abs(difference) / towards_zero if difference else 0.0
    return Estimate(
        control=control.value,
        treatment=treatment.value,
        difference=difference,
        interval=interval,
        relative_difference=_relative(difference, control.value),
        relative_interval=relative_interval(control, treatment),
        p_value=max(2 * float(stdtr(degrees, -statistic)), sys.float_info.min),
        degrees=degrees,
    )


def welch_degrees(
    left_error: float, left_degrees: float, right_error: float, right_degrees: float
) -> float:
    """Return the degrees of freedom of a difference (Satterthwaite 1946, Welch 1947).

    Errors >= 0, taken for equal where both are 0; degrees > 0.
    """
    total = math.hypot(left_error, right_error)
    part = (left_error / total) ** 2 if total else 0.5
    return 1 / (part**2 / left_degrees + (1 - part) ** 2 / right_degrees)


def relative_interval(control: Figure, treatment: Figure) -> Interval | NotEstimable:
    """Return the interval of (treatment - control) / |control|.

    It is made on the scale of the ratio's logarithm and carried back, where it covers best in
    small and uneven arms of skewed outcomes; so the figures must be of one sign, other than 0.
    Source: the delta method on log(treatment / control), with sides as in `compare`.
    """
    if np.sign(control.value) * np.sign(treatment.value) <= 0:
        return NotEstimable(Cause.NOT_POSITIVE)
    below = math.hypot(treatment.below / treatment.value, control.above / control.value)
    above = math.hypot(treatment.above / treatment.value, control.below / control.value)
    degrees = welch_degrees(
        control.standard_error / abs(control.value),
        control.degrees,
        treatment.standard_error / abs(treatment.value),
        treatment.degrees,
    )
    critical = float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
    ratio, sign = treatment.value / control.value, math.copysign(1.0, control.value)
    with np.errstate(over="ignore"):
        lower = sign * (ratio * float(np.exp(-sign * critical * below)) - 1)
        upper = sign * (ratio * float(np.exp(sign * critical * above)) - 1)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return NotEstimable(Cause.OVERFLOW)
    return Interval(lower, upper)


def _relative(difference: float, control: float) -> float | NotEstimable:
    if control == 0.0:
        return NotEstimable(Cause.ZERO_CONTROL)
    relative = difference / abs(control)
    return relative if math.isfinite(relative) else NotEstimable(Cause.OVERFLOW)
