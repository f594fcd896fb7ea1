"""Exact intervals and tests for rare events: no large numbers are assumed.

For units (or exposure) that are independent of each other. They err on the wide side, the more so
the fewer events there are. For clustered events use `rates`.
"""

import sys
from dataclasses import dataclass

from scipy.special import bdtr, betaincinv, gammaincinv

from tidegate_server.analysis.effects import Alternative, Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable

_NO_UNITS = NotEstimable(Cause.NO_UNITS)


def exact_proportion(
    successes: int, units: int, confidence: float = 0.95
) -> Interval | NotEstimable:
    """Return the interval of a proportion; 0 <= successes <= units, confidence in (0, 1).

    Source: Clopper and Pearson 1934, Biometrika 26, 404-413.
    """
    return _clopper_pearson(successes, units, confidence) if units else _NO_UNITS


def _clopper_pearson(successes: int, units: int, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    failures = units - successes
    lower = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    upper = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return Interval(lower, upper)


def exact_rate(events: int, exposure: float, confidence: float = 0.95) -> Interval | NotEstimable:
    """Return the interval of a Poisson rate per unit of exposure; events >= 0, exposure > 0.

    Source: Garwood 1936, Biometrika 28, 437-442.
    """
    if not exposure > 0:
        return _NO_UNITS
    tail = (1 - confidence) / 2
    lower = float(gammaincinv(events, tail)) if events else 0.0
    upper = float(gammaincinv(events + 1, 1 - tail))
    return Interval(lower / exposure, upper / exposure)


@dataclass(frozen=True, slots=True)
class RateRatio:
    """A treatment's rate divided by the control's.

    ratio, upper: not estimable where the control has no events. lower: >= 0. p_value: in (0, 1].
    """

    ratio: float | NotEstimable
    lower: float
    upper: float | NotEstimable
    p_value: float


def exact_rate_ratio(
    control: tuple[int, float],
    treatment: tuple[int, float],
    *,
    confidence: float = 0.95,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> RateRatio | NotEstimable:
    """Compare two Poisson rates. control, treatment: (events >= 0, exposure > 0).

    Given the events of both, the treatment's are binomial with the share t·r / (t·r + c), where t
    and c are the exposures and r the ratio. The two-sided p-value is twice the smaller tail, so
    that it agrees with the interval. Source: Przyborowski and Wilenski 1940, Biometrika 31,
    313-323.
    """
    (left, left_exposure), (right, right_exposure) = control, treatment
    if not (left_exposure > 0 and right_exposure > 0):
        return _NO_UNITS
    if left + right == 0:
        return NotEstimable(Cause.NO_EVENTS)
    odds = right_exposure / left_exposure
    share = _clopper_pearson(right, left + right, confidence)
    unknown = NotEstimable(Cause.ZERO_CONTROL)
    return RateRatio(
        ratio=right / left / odds if left else unknown,
        lower=share.lower / (1 - share.lower) / odds,
        upper=share.upper / (1 - share.upper) / odds if left else unknown,
        p_value=_binomial_p_value(right, left + right, odds / (1 + odds), alternative),
    )


def _binomial_p_value(successes: int, trials: int, share: float, against: Alternative) -> float:
    at_most = max(float(bdtr(successes, trials, share)), sys.float_info.min)
    at_least = max(float(bdtr(trials - successes, trials, 1 - share)), sys.float_info.min)
    if against is Alternative.TWO_SIDED:
        return min(1.0, 2 * min(at_most, at_least))
    return at_most if against is Alternative.LESS else at_least
