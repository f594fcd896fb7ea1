"""What a decision rests on: one-sided bounds of an effect, at whatever level is asked for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from tidegate_server.analysis.comparison import Estimate
from tidegate_server.analysis.confidence_sequence import Tuning, always_valid
from tidegate_server.analysis.effects import Effect
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.spread import PhaseFigures


class Scale(StrEnum):
    """What margins and effects are measured in: parts of the control, or the outcome's unit."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the effect is. lower, upper: one-sided; each alone fails with the chance asked for."""

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
    """Return the always-valid bounds, for any number of looks. tuning: its alpha is not used."""

    def bounds(alpha: float) -> Bounds | NotEstimable:
        look = always_valid(phases, replace(tuning, alpha=alpha))
        if isinstance(look, NotEstimable):
            return look
        reading = look.relative if scale is Scale.RELATIVE else look.difference
        if isinstance(reading, NotEstimable):
            return reading
        return Bounds(reading.lower, reading.upper)

    return bounds


def _bounds(effect: Effect, alpha: float) -> Bounds:
    return Bounds(effect.lower_bound(alpha), effect.upper_bound(alpha))


def _as_relative(logarithm: Bounds, control: float) -> Bounds | NotEstimable:
    """Return bounds of a log-ratio as those of the difference divided by |control|."""
    try:
        lower, upper = math.expm1(logarithm.lower), math.expm1(logarithm.upper)
    except OverflowError:
        return NotEstimable(Cause.OVERFLOW)
    return Bounds(lower, upper) if control > 0 else Bounds(-upper, -lower)
