"""What a decision rests on: one-sided bounds of an effect, at whatever level is asked for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from tidegate_server.analysis.comparison import Estimate
from tidegate_server.analysis.confidence_sequence import Reading, Tuning, always_valid, combined
from tidegate_server.analysis.effects import Effect, difference
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.phases import Pair
from tidegate_server.analysis.spread import PhaseFigures


class Scale(StrEnum):
    """What margins and effects are measured in: parts of the control, or the outcome's unit."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the effect is. lower, upper: one-sided; each alone fails with the chance asked for.

    upper: infinite where the control's figure is 0, or too uncertain to be told from 0.
    """

    lower: float
    upper: float


Source: TypeAlias = Callable[[float], Bounds | NotEstimable]
"""Gives the bounds at a level alpha, in (0, 0.5)."""


def fixed_source(estimate: Estimate, scale: Scale = Scale.RELATIVE) -> Source:
    """Return the bounds of one comparison, for one look at the planned size."""

    def bounds(alpha: float) -> Bounds | NotEstimable:
        if scale is Scale.ABSOLUTE:
            return _bounds(estimate.effect, alpha)
        if isinstance(estimate.log_ratio, NotEstimable):
            return estimate.log_ratio
        return _as_relative(_bounds(estimate.log_ratio, alpha), estimate.control)

    return bounds


def sequence_source(
    phases: Sequence[PhaseFigures], tuning: Tuning, scale: Scale = Scale.RELATIVE
) -> Source:
    """Return the always-valid bounds, for any number of looks. tuning: its alpha is not used.

    Relative ones are those of the ratio's logarithm. Where one arm's figure is 0 (no error yet) and
    the other's is not, there is no logarithm, and they are those of `_beside_zero`.
    """

    def bounds(alpha: float) -> Bounds | NotEstimable:
        look = always_valid(phases, replace(tuning, alpha=alpha))
        if isinstance(look, NotEstimable):
            return look
        reading = look.relative if scale is Scale.RELATIVE else look.difference
        if isinstance(reading, Reading):
            return Bounds(reading.lower, reading.upper)
        return _beside_zero(combined(phases, 0.0), look.difference) or reading

    return bounds


def _beside_zero(pair: Pair, read: Reading) -> Bounds | None:
    """Return bounds of treatment / control - 1 where one of the two figures is 0.

    read: of their difference. A ratio r is excluded where the difference of the treatment and r
    times the control is, by the same number k of standard errors: |t - r c| > k sqrt(s² + r² z²)
    with figures t and c and errors s and z (Fieller 1954, J. R. Statist. Soc. B 16, 175-185).
    None: both are 0, or one is negative.
    """
    control, treatment = pair
    effect = difference(control, treatment)
    if isinstance(effect, NotEstimable) or min(control.value, treatment.value) < 0.0:
        return None
    if treatment.value > 0.0:
        errors = (effect.value - read.lower) / effect.below
        room = (treatment.value / errors) ** 2 - treatment.below**2
        ratio = math.sqrt(room) / control.above if room > 0.0 and control.above else 0.0
        return Bounds(ratio - 1, math.inf)
    if control.value > 0.0:
        errors = (read.upper - effect.value) / effect.above
        room = (control.value / errors) ** 2 - control.below**2
        ratio = treatment.above / math.sqrt(room) if room > 0.0 else math.inf
        return Bounds(-1.0, ratio - 1)
    return None


def _bounds(effect: Effect, alpha: float) -> Bounds:
    return Bounds(effect.lower_bound(alpha), effect.upper_bound(alpha))


def _as_relative(logarithm: Bounds, control: float) -> Bounds | NotEstimable:
    """Return bounds of a log-ratio as those of the difference divided by |control|."""
    try:
        lower, upper = math.expm1(logarithm.lower), math.expm1(logarithm.upper)
    except OverflowError:
        return NotEstimable(Cause.OVERFLOW)
    return Bounds(lower, upper) if control > 0 else Bounds(-upper, -lower)
