"""How a group-sequential test spends its alpha as information comes in (Lan and DeMets 1983).

A spending function gives the chance of a false alarm, on one side, that may have been used when a
part `fraction` of the planned information is there. It rises from 0 at 0 to alpha at 1. fraction:
in [0, 1]. alpha: of one side, in (0, 1).
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from scipy.special import ndtr, ndtri

Spending: TypeAlias = Callable[[float, float], float]
"""(fraction, alpha) -> alpha spent so far, in [0, alpha]."""


def obrien_fleming(fraction: float, alpha: float) -> float:
    """Spend hardly anything early and nearly all at the end.

    2 - 2 Phi(z / sqrt(fraction)) with z the upper alpha / 2 point: Lan and DeMets 1983, "Discrete
    sequential boundaries for clinical trials", Biometrika 70, their alpha_1*.
    """
    if fraction <= 0.0:
        return 0.0
    return 2 * float(ndtr(float(ndtri(alpha / 2)) / math.sqrt(fraction)))


def pocock(fraction: float, alpha: float) -> float:
    """Spend evenly, for boundaries that hardly change: alpha log(1 + (e - 1) fraction).

    Source: Lan and DeMets 1983, their alpha_2*.
    """
    return alpha * math.log1p((math.e - 1) * fraction)


def power_family(power: float) -> Spending:
    """Spend alpha · fraction ** power, power > 0: near O'Brien-Fleming at 3, near Pocock at 1.

    Source: Kim and DeMets 1987, "Design and analysis of group sequential tests based on the type I
    error spending rate function", Biometrika 74.

    Raises:
        ValueError: the power is not above 0.
    """
    if not 0.0 < power < math.inf:
        raise ValueError(f"power: must be a number > 0, not {power}")

    def spend(fraction: float, alpha: float) -> float:
        return alpha * float(fraction**power)

    return spend


def hwang_shih_decani(gamma: float) -> Spending:
    """Spend alpha (1 - exp(-gamma · fraction)) / (1 - exp(-gamma)).

    gamma: early spending, in [-100, 100]; -4 is near O'Brien-Fleming, 1 near Pocock, 0 linear.
    Source: Hwang, Shih, DeCani 1990, "Group sequential designs using a family of type I error
    probability spending functions", Statist. Med. 9.

    Raises:
        ValueError: gamma is out of range.
    """
    if not -100.0 <= gamma <= 100.0:
        raise ValueError(f"gamma: must be in [-100, 100], not {gamma}")
    if gamma == 0.0:
        return power_family(1.0)

    def spend(fraction: float, alpha: float) -> float:
        return alpha * math.expm1(-gamma * fraction) / math.expm1(-gamma)

    return spend
