"""What outcomes are like in a simulation, and the moments of what is judged of them.

A quantile of many requests spreads as the mean of their influences on it does: Bahadur 1966, "A
note on quantiles in large samples", Ann. Math. Statist. 37, 577-580.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, gammaln

from tidegate_server.domain.experiments.stream import Moments
from tidegate_server.domain.metrics import QUANTILES, Statistic


class Outcome(Protocol):
    """How an outcome is distributed over requests."""

    def moments(self, statistic: Statistic) -> Moments:
        """Return the moments of that whose mean is this statistic.

        Raises:
            ValueError: there is no such figure; the message says why.
        """
        ...

    def changed(self, effect: float) -> "Outcome":
        """Return the outcome that is larger by a part `effect` > -1.

        Raises:
            ValueError: it can't be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """An outcome that is 1 in a part `mean` of the requests, and else 0. In (0, 1)."""

    mean: float

    def __post_init__(self) -> None:
        if not 0 < self.mean < 1:
            raise ValueError(f"a rate must be above 0 and below 1, not {self.mean:.4g}")

    def moments(self, statistic: Statistic) -> Moments:
        """Return them of the mean: a rate has no quantiles."""
        if statistic is not Statistic.MEAN:
            raise ValueError(f"a rate has no {statistic}")
        deviation = math.sqrt(self.mean * (1 - self.mean))
        return Moments(self.mean, deviation, (1 - 2 * self.mean) / deviation)

    def changed(self, effect: float) -> "Rate":
        """Return another rate."""
        return Rate(self.mean * (1 + effect))


@dataclass(frozen=True, slots=True)
class Assumed:
    """An outcome of which two moments are known: a gamma variable. mean, deviation: > 0."""

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not (self.mean > 0 and self.deviation > 0):
            raise ValueError("mean and deviation must be above 0")

    def moments(self, statistic: Statistic) -> Moments:
        """Return them of the mean, or of a quantile."""
        if statistic is Statistic.MEAN:
            return Moments(self.mean, self.deviation, 2 * self.deviation / self.mean)
        shape, scale = (self.mean / self.deviation) ** 2, self.deviation**2 / self.mean
        at = float(gammaincinv(shape, QUANTILES[statistic]))
        density = math.exp((shape - 1) * math.log(at) - at - float(gammaln(shape))) / scale
        return _of_quantile(scale * at, density, QUANTILES[statistic])

    def changed(self, effect: float) -> "Assumed":
        """Return the same shape on another scale."""
        return Assumed(self.mean * (1 + effect), self.deviation * (1 + effect))


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """An outcome as it was recorded, request by request: shape (n,), n >= 2, finite."""

    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not (self.values.mean() > 0 and self.values.std() > 0):
            raise ValueError("the values must differ, and be above 0 in the mean")

    def moments(self, statistic: Statistic) -> Moments:
        """Return them of the mean, or of a quantile.

        The density at a quantile is read from the quantiles on both sides of it, a quarter of its
        way to the end (Siddiqui 1960, J. Res. Nat. Bur. Standards 64B, 145-150).
        """
        values = self.values
        if statistic is Statistic.MEAN:
            mean, deviation = float(values.mean()), float(values.std())
            return Moments(mean, deviation, float((((values - mean) / deviation) ** 3).mean()))
        q = QUANTILES[statistic]
        reach = min(q, 1 - q) / 4
        below, at, above = map(float, np.quantile(values, (q - reach, q, q + reach)))
        if not above > below:
            raise ValueError(f"too few different values around the {statistic}")
        return _of_quantile(at, 2 * reach / (above - below), q)

    def changed(self, effect: float) -> "Recorded":
        """Return the same on another scale."""
        return Recorded(self.values * (1 + effect))


def recorded(values: NDArray[np.float64]) -> Outcome:
    """Return the outcome of recorded values: a rate if all of them are 0 or 1.

    Raises:
        ValueError: all are equal, or their mean is not above 0.
    """
    if np.isin(values, (0.0, 1.0)).all():
        return Rate(float(values.mean()))
    return Recorded(values)


def _of_quantile(value: float, density: float, q: float) -> Moments:
    """Return the moments of value + (q - 1 where a request is at or below it, else q) / density."""
    deviation = math.sqrt(q * (1 - q))
    return Moments(value, deviation / density, (2 * q - 1) / deviation)
