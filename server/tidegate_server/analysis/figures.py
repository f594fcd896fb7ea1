"""One arm's figure with its uncertainty: what every comparison is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

NORMAL = 1e300
"""Degrees of freedom that make Student's distribution the normal one, to the last digit."""

_NO_INFLUENCE = np.zeros(0)
_NO_CLUSTERS = np.zeros(0, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A mean or a quantile of one arm, estimated from independent clusters (cells, groups, units).

    value: in the outcome's unit.
    below, above: standard errors >= 0 towards lower and towards higher values; they differ for
        quantiles of skewed outcomes and for proportions near 0.
    influence: shape (clusters,); what each cluster adds to the error of `value`, summing to 0.
        Of shape (0,) where only moments are known.
    occupied: shape (clusters,), bool; the clusters that have events: at least two. Or (0,).
    events: how many events (of a figure per unit: units) the figure rests on, >= 2.
    known_degrees: degrees of freedom where they are not the occupied clusters less 1.
    """

    value: float
    below: float
    above: float
    influence: NDArray[np.float64]
    occupied: NDArray[np.bool_]
    events: int
    known_degrees: float | None = None

    @property
    def standard_error(self) -> float:
        """The standard error without regard to direction, >= 0."""
        return (self.below + self.above) / 2

    @property
    def degrees(self) -> float:
        """Degrees of freedom of the standard error, > 0."""
        if self.known_degrees is not None:
            return self.known_degrees
        return float(np.count_nonzero(self.occupied)) - 1


def bare_figure(
    value: float, below: float, above: float, events: int, degrees: float = NORMAL
) -> Figure:
    """Return a figure of which only moments are known, not what each cluster adds.

    Such figures can't be adjusted for covariates, and phases of them are taken for independent.
    """
    return Figure(value, below, above, _NO_INFLUENCE, _NO_CLUSTERS, events, degrees)


def scaled(figure: Figure, factor: float) -> Figure:
    """Return the figure times a factor other than 0; a negative one turns its sides round."""
    sides = (figure.below, figure.above) if factor > 0 else (figure.above, figure.below)
    return replace(
        figure,
        value=factor * figure.value,
        below=abs(factor) * sides[0],
        above=abs(factor) * sides[1],
        influence=factor * figure.influence,
    )


def cluster_error(influence: NDArray[np.float64], occupied: NDArray[np.bool_]) -> float:
    """Return the standard error that the clusters' influences imply.

    sqrt(G / (G - 1) · sum of squared influences) over the G occupied clusters: the delta method's
    variance of a ratio of cluster totals. Sources: Deng, Knoblich, Lu 2018 (arXiv:1803.06336),
    §3; for the factor Cochran 1977, "Sampling Techniques", ch. 6.
    """
    clusters = int(np.count_nonzero(occupied))
    # Not a BLAS product: it would share 250,000 units among threads, and warn of overflow.
    squares = float(np.einsum("i,i->", influence, influence))
    if 1e-280 < squares < 1e280:
        return math.sqrt(clusters / (clusters - 1) * squares)
    largest = float(np.abs(influence).max())
    if not 0.0 < largest < math.inf:
        return largest
    part = influence / largest
    return largest * math.sqrt(clusters / (clusters - 1) * float(part @ part))


def welch_degrees(
    left_error: float, left_degrees: float, right_error: float, right_degrees: float
) -> float:
    """Return the degrees of freedom of a sum or difference (Satterthwaite 1946, Welch 1947).

    Errors >= 0, taken for equal where both are 0; degrees > 0. More than two parts may be added
    one after the other: the order makes no difference.
    """
    total = math.hypot(left_error, right_error)
    part = (left_error / total) ** 2 if total else 0.5
    return 1 / (part**2 / left_degrees + (1 - part) ** 2 / right_degrees)


def combine(figures: Sequence[Figure], weights: Sequence[float]) -> Figure:
    """Return the weighted sum of one arm's figures: of its phases, or of its days.

    weights: as many; adding up to 1 for a mean, to 0 for a contrast. A unit that comes back in a
    later phase is in the same cluster again, so the influences are added within clusters before
    they are squared: its phases are not taken for independent. Figures without influences are.
    """
    if any(f.influence.size == 0 for f in figures):
        return combine_apart(figures, weights)
    parts = list(zip(weights, figures, strict=True))
    influence: NDArray[np.float64] = np.dot(weights, [f.influence for f in figures])
    occupied = np.logical_or.reduce([f.occupied for f in figures])
    apart = math.hypot(*(w * cluster_error(f.influence, f.occupied) for w, f in parts))
    inflation = cluster_error(influence, occupied) / apart if apart else 1.0
    return Figure(
        value=sum(w * f.value for w, f in parts),
        below=inflation * _side(parts, rising=False),
        above=inflation * _side(parts, rising=True),
        influence=influence,
        occupied=occupied,
        events=sum(f.events for f in figures),
    )


def combine_apart(figures: Sequence[Figure], weights: Sequence[float]) -> Figure:
    """Return the weighted sum of figures of different units, such as strata: independent ones."""
    parts = list(zip(weights, figures, strict=True))
    error, degrees = 0.0, NORMAL
    for weight, figure in parts:
        own = abs(weight) * figure.standard_error
        degrees = welch_degrees(error, degrees, own, figure.degrees) if own else degrees
        error = math.hypot(error, own)
    return Figure(
        value=sum(w * f.value for w, f in parts),
        below=_side(parts, rising=False),
        above=_side(parts, rising=True),
        influence=np.concatenate([w * f.influence for w, f in parts]),
        occupied=np.concatenate([f.occupied for f in figures]),
        events=sum(f.events for f in figures),
        known_degrees=degrees,
    )


def _side(parts: Sequence[tuple[float, Figure]], *, rising: bool) -> float:
    """Return the error of a weighted sum on one side; a negative weight turns the sides round."""
    return math.hypot(*(w * (f.above if (w > 0) == rising else f.below) for w, f in parts))
