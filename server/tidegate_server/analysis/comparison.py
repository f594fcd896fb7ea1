"""Two arms compared at a fixed horizon: one look, at a planned size."""

import math
from dataclasses import dataclass

from tidegate_server.analysis.effects import Alternative, Effect, Interval, difference, log_ratio
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure

CONFIDENCE = 0.95
"""Confidence of every interval, two-sided, unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A treatment against the control.

    control, treatment, difference, interval: in the outcome's unit; interval is two-sided.
    relative_difference: the difference as a part of the control's magnitude (0.05 is 5 %); its
        sign is that of `difference`.
    p_value: in (0, 1]; two-sided unless another alternative was asked for.
    effect: the difference with its errors, for bounds and p-values of one side.
    log_ratio: log(treatment / control) with its errors; of magnitudes, where both are negative.
    """

    control: float
    treatment: float
    difference: float
    interval: Interval
    relative_difference: float | NotEstimable
    relative_interval: Interval | NotEstimable
    p_value: float
    effect: Effect
    log_ratio: Effect | NotEstimable

    @property
    def degrees(self) -> float:
        """Welch's degrees of freedom, > 0."""
        return self.effect.degrees


def compare(
    control: Figure,
    treatment: Figure,
    *,
    confidence: float = CONFIDENCE,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> Estimate | NotEstimable:
    """Compare two independent arms, once, at the planned size.

    confidence: in (0, 1). The difference is that of `effects.difference` (Welch for means,
    Newcombe for proportions with score errors); relative figures come from `effects.log_ratio`.
    The two-sided p-value is below 1 - confidence where the interval excludes 0, and only there.
    """
    effect = difference(control, treatment)
    if isinstance(effect, NotEstimable):
        return effect
    p_value = effect.p_value(alternative)
    if isinstance(p_value, NotEstimable):
        return p_value
    interval = effect.interval(confidence)
    if not (math.isfinite(interval.lower) and math.isfinite(interval.upper)):
        return NotEstimable(Cause.OVERFLOW)
    ratio = log_ratio(control, treatment)
    return Estimate(
        control=control.value,
        treatment=treatment.value,
        difference=effect.value,
        interval=interval,
        relative_difference=_relative(effect.value, control.value),
        relative_interval=relative_interval(ratio, control.value, confidence),
        p_value=p_value,
        effect=effect,
        log_ratio=ratio,
    )


def relative_interval(
    ratio: Effect | NotEstimable, control: float, confidence: float = CONFIDENCE
) -> Interval | NotEstimable:
    """Return the interval of (treatment - control) / |control| from that of the log-ratio.

    control: the control's figure, whose sign decides. The interval is made on the scale of the
    ratio's logarithm and carried back, where it covers best in small and uneven arms of skewed
    outcomes.
    """
    if isinstance(ratio, NotEstimable):
        return ratio
    inner = ratio.interval(confidence)
    try:
        lower, upper = math.expm1(inner.lower), math.expm1(inner.upper)
    except OverflowError:
        return NotEstimable(Cause.OVERFLOW)
    if upper == math.inf:
        return NotEstimable(Cause.OVERFLOW)
    return Interval(lower, upper) if control > 0 else Interval(-upper, -lower)


def _relative(difference: float, control: float) -> float | NotEstimable:
    if control == 0.0:
        return NotEstimable(Cause.ZERO_CONTROL)
    relative = difference / abs(control)
    return relative if math.isfinite(relative) else NotEstimable(Cause.OVERFLOW)
