"""One arm's figure with its uncertainty: what every comparison is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A mean or a quantile of one arm, estimated from independent clusters (cells or groups).

    value: in the outcome's unit.
    below, above: standard errors >= 0 towards lower and towards higher values; they differ for
        quantiles of skewed outcomes.
    influence: shape (clusters,); what each cluster adds to the error of `value`, summing to 0.
    occupied: shape (clusters,), bool; the clusters that have events: at least two.
    events: how many events the figure rests on, >= 2.
    """

    value: float
    below: float
    above: float
    influence: NDArray[np.float64]
    occupied: NDArray[np.bool_]
    events: int

    @property
    def standard_error(self) -> float:
        """The standard error without regard to direction, >= 0."""
        return (self.below + self.above) / 2

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the standard error, >= 1."""
        return int(self.occupied.sum()) - 1


def cluster_error(influence: NDArray[np.float64], occupied: NDArray[np.bool_]) -> float:
    """Return the standard error that the clusters' influences imply.

    sqrt(G / (G - 1) · sum of squared influences) over the G occupied clusters: the delta method's
    variance of a ratio of cluster totals. Sources: Deng, Knoblich, Lu 2018 (arXiv:1803.06336),
    §3; for the factor Cochran 1977, "Sampling Techniques", ch. 6.
    """
    clusters = int(occupied.sum())
    return math.sqrt(clusters / (clusters - 1)) * math.hypot(*influence[occupied].tolist())


def combine(figures: Sequence[Figure], weights: Sequence[float]) -> Figure:
    """Return the weighted sum of one arm's figures in several phases.

    weights: as many, >= 0, adding up to 1. A unit that comes back in a later phase is in the same
    cluster again, so the influences are added within clusters before they are squared: its phases
    are not taken for independent.
    """
    influence = np.sum([w * f.influence for w, f in zip(weights, figures, strict=True)], axis=0)
    occupied = np.logical_or.reduce([f.occupied for f in figures])
    apart = math.hypot(*(w * f.standard_error for w, f in zip(weights, figures, strict=True)))
    inflation = cluster_error(influence, occupied) / apart if apart else 1.0
    return Figure(
        value=sum(w * f.value for w, f in zip(weights, figures, strict=True)),
        below=inflation * math.hypot(*(w * f.below for w, f in zip(weights, figures, strict=True))),
        above=inflation * math.hypot(*(w * f.above for w, f in zip(weights, figures, strict=True))),
        influence=influence,
        occupied=occupied,
        events=sum(f.events for f in figures),
    )
