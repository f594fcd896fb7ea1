"""How large a difference is beside the spread between units."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure


class Magnitude(StrEnum):
    """|d| in words; limits 0.2, 0.5 and 0.8 (Cohen 1988, §2.2.3)."""

    NEGLIGIBLE = "negligible"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


@dataclass(frozen=True, slots=True)
class EffectSize:
    """Cohen's d: a difference in standard deviations between units, with its size in words."""

    cohens_d: float

    @property
    def magnitude(self) -> Magnitude:
        """The size in words."""
        size = abs(self.cohens_d)
        if size < 0.2:
            return Magnitude.NEGLIGIBLE
        if size < 0.5:
            return Magnitude.SMALL
        return Magnitude.MEDIUM if size < 0.8 else Magnitude.LARGE


def effect_size(
    difference: float, arms: Sequence[tuple[Figure, float | NotEstimable]]
) -> EffectSize | NotEstimable:
    """Return Cohen's d on unit level.

    arms: the mean of each arm (in each phase) with its number of units. The deviation between
    units that a mean's error implies is error · sqrt(units); those of all arms are pooled by their
    degrees of freedom, units - 1 (Cohen 1988, eq. 2.5.2). An arm can't have more units than
    events; where an outcome is reported by few of an arm's units, d is understated.
    """
    squares = degrees = 0.0
    for figure, counted in arms:
        if isinstance(counted, NotEstimable):
            return counted
        units = min(counted, figure.events)
        squares += max(units - 1, 0.0) * units * figure.standard_error**2
        degrees += max(units - 1, 0.0)
    if degrees < 1:
        return NotEstimable(Cause.TOO_FEW_UNITS)
    deviation = math.sqrt(squares / degrees)
    if deviation == 0.0:
        return NotEstimable(Cause.ZERO_VARIANCE)
    return EffectSize(difference / deviation)
