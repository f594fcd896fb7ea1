"""How large a difference is beside the spread between units."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import poch

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
    """Cohen's d: a difference in standard deviations between units, with its size in words.

    degrees: of freedom of the pooled deviation, >= 1.
    """

    cohens_d: float
    degrees: float

    @property
    def hedges_g(self) -> float | NotEstimable:
        """Cohen's d without its upward bias in small samples.

        With m degrees of freedom it is d · Γ(m/2) / (sqrt(m/2) · Γ((m - 1)/2)). Source: Hedges
        1981, "Distribution theory for Glass's estimator of effect size", J. Educ. Stat. 6, 107-128,
        eq. 6e.
        """
        if self.degrees <= 1:
            return NotEstimable(Cause.TOO_FEW_UNITS)
        factor = float(poch((self.degrees - 1) / 2, 0.5)) / math.sqrt(self.degrees / 2)
        return self.cohens_d * factor

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
    return EffectSize(difference / deviation, degrees)
