"""An effect with its error: what intervals, p-values, margins and posteriors are read from."""

import math
import sys
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import stdtr, stdtrit

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, scaled, welch_degrees


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval: lower <= upper, both finite."""

    lower: float
    upper: float


class Alternative(StrEnum):
    """What a p-value is against: that the effect differs from, exceeds, or is below the null."""

    TWO_SIDED = "two-sided"
    GREATER = "greater"
    LESS = "less"


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect of a treatment, on some scale, as Student's t sees it.

    value: treatment less control, finite.
    below, above: standard errors towards lower and higher values, finite, >= 0.
    degrees: degrees of freedom, > 0, for both sides.
    """

    value: float
    below: float
    above: float
    degrees: float

    @property
    def standard_error(self) -> float:
        """The standard error without regard to direction, >= 0."""
        return (self.below + self.above) / 2

    def lower_bound(self, alpha: float) -> float:
        """Return the value that the true effect is below with probability `alpha`, in (0, 1)."""
        return self.value - float(stdtrit(self.degrees, 1 - alpha)) * self.below

    def upper_bound(self, alpha: float) -> float:
        """Return the value that the true effect is above with probability `alpha`, in (0, 1)."""
        return self.value + float(stdtrit(self.degrees, 1 - alpha)) * self.above

    def interval(self, confidence: float) -> Interval:
        """Return the two-sided interval; confidence in (0, 1)."""
        critical = float(stdtrit(self.degrees, (1 + confidence) / 2))
        return Interval(self.value - critical * self.below, self.value + critical * self.above)

    def p_value(
        self, alternative: Alternative = Alternative.TWO_SIDED, null: float = 0.0
    ) -> float | NotEstimable:
        """Return the p-value against `null`, in (0, 1].

        The error towards the null decides, so that p is below alpha where the interval (two-sided)
        or the bound excludes the null, and only there.
        """
        away = self.value - null
        error = self.below if away > 0 else self.above
        if error == 0.0 and (away != 0.0 or self.below == self.above):
            return NotEstimable(Cause.ZERO_VARIANCE)
        statistic = away / error if away else 0.0
        if alternative is Alternative.TWO_SIDED:
            p = 2 * float(stdtr(self.degrees, -abs(statistic)))
        else:
            sign = -1.0 if alternative is Alternative.GREATER else 1.0
            p = float(stdtr(self.degrees, sign * statistic))
        return max(p, sys.float_info.min)

    def detectable(self, alpha: float = 0.05, power: float = 0.8) -> float:
        """Return the true effect that a two-sided test with this error would have found.

        With chance `power`, at level `alpha`; both in (0, 1). The achieved minimum detectable
        effect is (t(1 - alpha/2) + t(power)) standard errors (Bloom 1995, "Minimum detectable
        effects", Evaluation Review 19, 547-556).
        """
        quantiles = stdtrit(self.degrees, 1 - alpha / 2) + stdtrit(self.degrees, power)
        return float(quantiles) * self.standard_error


def difference(control: Figure, treatment: Figure) -> Effect | NotEstimable:
    """Return treatment less control of independent arms, in the outcome's unit.

    Errors are squared and added on the sides that matter: below for the treatment with above for
    the control, and the reverse (Zou and Donner 2008, "Construction of confidence limits about
    effect measures", Statist. Med. 27, 1693-1702). For means, whose errors are equal on
    both sides, this is Welch's test (1947); for proportions with score errors it is Newcombe's
    interval (1998, Statist. Med. 17, 873-890, method 10).
    """
    effect = Effect(
        treatment.value - control.value,
        math.hypot(treatment.below, control.above),
        math.hypot(treatment.above, control.below),
        welch_degrees(
            control.standard_error, control.degrees, treatment.standard_error, treatment.degrees
        ),
    )
    return _checked(effect)


def log_ratio(control: Figure, treatment: Figure) -> Effect | NotEstimable:
    """Return log(treatment / control) of independent arms whose figures have one sign, not 0.

    The delta method, d log x = dx / x, with sides as in `difference`. Of negative figures it is
    the ratio of magnitudes, so that it rises where the figure falls.
    """
    if not _one_sign(control.value, treatment.value):
        return NotEstimable(Cause.NOT_POSITIVE)
    if control.value < 0:
        control, treatment = scaled(control, -1.0), scaled(treatment, -1.0)
    left, right = control.value, treatment.value
    effect = Effect(
        math.log(right) - math.log(left),
        math.hypot(treatment.below / right, control.above / left),
        math.hypot(treatment.above / right, control.below / left),
        welch_degrees(
            control.standard_error / left,
            control.degrees,
            treatment.standard_error / right,
            treatment.degrees,
        ),
    )
    return _checked(effect)


def _one_sign(left: float, right: float) -> bool:
    """Tell whether both have one sign, even where their product is too small for a float."""
    return (left > 0 and right > 0) or (left < 0 and right < 0)


def _checked(effect: Effect) -> Effect | NotEstimable:
    finite = math.isfinite(effect.value) and math.isfinite(effect.below + effect.above)
    return effect if finite else NotEstimable(Cause.OVERFLOW)
