"""A Brownian motion with drift, looked at a few times and stopped at boundaries.

Its density among runs that have not stopped is carried from look to look by numerical integration:
the recursion of Armitage, McPherson, Rowe 1969, "Repeated significance tests on accumulating data",
J. R. Statist. Soc. A 132, 235-244, on panels of Gauss-Legendre nodes. Time is information as a part
of the plan; `drift` is the mean at time 1.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

_NODES = 20
_PANEL = 6.0
"""Width of a panel in deviations of the narrowest kernel: 20 nodes integrate it to 1e-10."""


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """The runs that have not stopped: `mass` at the values `at`, both of shape (n,)."""

    at: NDArray[np.float64]
    mass: NDArray[np.float64]

    def above(self, bound: float, step: float, drift: float) -> float:
        """Return the chance of being above `bound` at the next look, `step` > 0 later."""
        return float(self.mass @ ndtr((self.at + drift * step - bound) / math.sqrt(step)))

    def below(self, bound: float, step: float, drift: float) -> float:
        """Return the chance of being below `bound` at the next look."""
        return float(self.mass @ ndtr((bound - self.at - drift * step) / math.sqrt(step)))

    def between(
        self, bounds: tuple[float, float], step: float, drift: float, next_step: float
    ) -> "Running":
        """Return those between the bounds at the next look, fit to be asked `next_step` later."""
        at, weights = _panels(*bounds, math.sqrt(min(step, next_step)))
        away = (at[:, None] - (self.at + drift * step)) / math.sqrt(step)
        density = np.exp(-0.5 * away**2) @ self.mass / math.sqrt(2 * math.pi * step)
        return Running(at, weights * density)


START = Running(np.zeros(1), np.ones(1))
"""Before the first look all runs are at 0."""


@cache
def _rule() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


def _panels(
    low: float, high: float, narrowest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights on [low, high]."""
    number = max(1, math.ceil((high - low) / (_PANEL * narrowest)))
    width = (high - low) / number
    nodes, weights = _rule()
    starts = low + width * np.arange(number)
    return (starts[:, None] + width * nodes).ravel(), np.tile(width * weights, number)
