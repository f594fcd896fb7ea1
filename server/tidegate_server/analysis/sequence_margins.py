"""How many standard errors away the ends of a confidence sequence lie, and its p-values.

Time is information: `fraction` is the part of the planned size that is there, > 0. In it an
estimate times its information is a Brownian motion with drift, W(f) = Z sqrt(f), which estimates
from growing amounts of data approach (the invariance principle; Waudby-Smith, Arbour, Sinha,
Kennedy, Ramdas 2021, "Time-uniform central limit theory and asymptotic confidence sequences",
arXiv:2103.06476, which equation numbers refer to).

A sequence with an OPEN end treats all sizes alike: the normal mixture (Robbins 1970), tightest at
the planned size. Up to there it has spent less than a third of alpha; the rest is for what will
never be looked at, if a decision is due by then. One with a PLANNED end spends it otherwise:

* 1 - _KEPT of alpha on W above a level that is constant up to the planned size, as O'Brien and
  Fleming's boundaries are; from there it rises, at twice the level per plan, so that a last look
  may overrun;
* _KEPT on a mixture that is tightest at the part EARLY of the plan: it sees great harm soon, and
  holds at any size.

Either holds by itself, at every look, so at each fraction the nearer end of the two counts.
"""

import math
import sys
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx

Floats: TypeAlias = NDArray[np.float64]

_KEPT = 0.3
"""With 0.2 power at the plan would be 2 % higher, with 0.5 it would be 6 % lower."""

EARLY = 0.2
"""The part of the planned size at which great harm should be seen."""


class Horizon(StrEnum):
    """How far a sequence looks.

    OPEN: no end is known. PLANNED: it is decided by the planned size; valid beyond, but wider.
    """

    OPEN = "open"
    PLANNED = "planned"


def margin(fraction: float, alpha: float, horizon: Horizon) -> float:
    """Return the two-sided interval's half width in standard errors. alpha: in (0, 1)."""
    if horizon is Horizon.OPEN:
        return _mixture(fraction, alpha)
    early = _mixture(fraction / EARLY, _KEPT * alpha)
    late = _level((1 - _KEPT) * alpha / 2) * max(1.0, 2 * fraction - 1) / math.sqrt(fraction)
    return min(early, late)


def one_sided_margin(fraction: float, alpha: float, horizon: Horizon) -> float:
    """Return how many standard errors away a one-sided bound lies. alpha: in (0, 0.5)."""
    return float(one_sided_margins(np.array(fraction), alpha, horizon))


def one_sided_margins(fraction: Floats, alpha: float, horizon: Horizon) -> Floats:
    """Return the same for any number of fractions."""
    if horizon is Horizon.OPEN:
        return _one_sided_mixture(fraction, alpha)
    early = _one_sided_mixture(fraction / EARLY, _KEPT * alpha)
    late = _level((1 - _KEPT) * alpha) * np.maximum(1.0, 2 * fraction - 1) / np.sqrt(fraction)
    return np.minimum(early, late)


def sequence_p_value(statistic: float, fraction: float, alpha: float, horizon: Horizon) -> float:
    """Return the always-valid two-sided p-value, in (0, 1].

    statistic: the estimate in standard errors. alpha: the level that the sequence is tuned for;
    p <= alpha where |statistic| >= `margin`.
    """
    if horizon is Horizon.OPEN:
        return _mixture_p_value(statistic, fraction, alpha)
    early = _mixture_p_value(statistic, fraction / EARLY, _KEPT * alpha) / _KEPT
    level = abs(statistic) * math.sqrt(fraction) / max(1.0, 2 * fraction - 1)
    late = 2 * math.exp(log_chance_to_reach(level)) / (1 - _KEPT)
    return min(max(min(early, late), sys.float_info.min), 1.0)


def log_chance_to_reach(level: float) -> float:
    """Return the logarithm of the chance that a Brownian motion ever reaches a boundary.

    The boundary is c = `level` >= 0 up to time 1 and c (2 t - 1) from there on. By the reflection
    principle it is reached by then with chance 2 Phi(-c); a motion that is at w < c at time 1
    reaches the line with chance exp(-4 c (c - w)), to be integrated over the density of w among
    those that have not reached c, phi(w) - phi(2 c - w) (Siegmund 1985, "Sequential Analysis",
    ch. III). Altogether exp(-c²/2) (e(c) + e(3 c) / 2 - e(5 c) / 2), e(c) = exp(c²/2) 2 Phi(-c).
    """
    unit = level / math.sqrt(2)
    scaled = erfcx(unit) + (erfcx(3 * unit) - erfcx(5 * unit)) / 2
    return math.log(scaled) - level * level / 2


@lru_cache(maxsize=256)
def _level(chance: float) -> float:
    """Return the level that is reached with this chance, in (0, 1)."""
    low, high, goal = 0.0, 40.0, math.log(chance)
    for _ in range(60):  # servers do without scipy.optimize, which takes long to load
        middle = (low + high) / 2
        low, high = (middle, high) if log_chance_to_reach(middle) > goal else (low, middle)
    return high


def _mixture(fraction: float, alpha: float) -> float:
    """Eq. 9."""
    x = fraction * _information(alpha)
    return math.sqrt((1 + 1 / x) * (math.log1p(x) - 2 * math.log(alpha)))


def _one_sided_mixture(fraction: Floats, alpha: float) -> Floats:
    """Eq. 134."""
    x = fraction * _information(2 * alpha)
    found: Floats = np.sqrt(2 * (1 + 1 / x) * np.log1p(np.sqrt(1 + x) / (2 * alpha)))
    return found


def _mixture_p_value(statistic: float, fraction: float, alpha: float) -> float:
    """Eq. 155."""
    x = fraction * _information(alpha)
    logarithm = (math.log1p(x) - statistic * (statistic * (x / (1 + x)))) / 2
    return max(math.exp(min(logarithm, 0.0)), sys.float_info.min)


@lru_cache(maxsize=256)
def _information(alpha: float) -> float:
    """Return t · rho² at the planned size, which makes the margin there the least (eq. 161)."""
    return -2 * math.log(alpha) + math.log1p(-2 * math.log(alpha))
