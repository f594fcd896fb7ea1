"""How much of a result hangs on a few units."""

from dataclasses import dataclass

import numpy as np

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure

DOMINANT = 0.25
"""A cluster with more than this part of a comparison's variance decides it by itself."""


@dataclass(frozen=True, slots=True)
class Leverage:
    """What one cluster (a unit, or a cell of units) does to the difference.

    arm: "control" or "treatment". cluster: its index. shift: how much the difference would change
    without it, in the outcome's unit. variance_share: its part of the difference's variance, in
    [0, 1].
    """

    arm: str
    cluster: int
    shift: float
    variance_share: float


@dataclass(frozen=True, slots=True)
class Outliers:
    """The clusters with the most leverage, greatest first.

    effective_clusters: how many clusters of equal leverage would give the same concentration, >= 1:
    (Σ i²)² / Σ i⁴ of the influences i. With few, intervals of means are too narrow.
    """

    greatest: tuple[Leverage, ...]
    effective_clusters: float

    @property
    def dominated(self) -> bool:
        """Whether one cluster has more than a quarter of the variance."""
        return self.greatest[0].variance_share > DOMINANT


def find_outliers(control: Figure, treatment: Figure, top: int = 5) -> Outliers | NotEstimable:
    """Return which clusters carry the difference of two arms. top: how many, >= 1.

    Leaving cluster k of G out changes a mean by - i_k · G / (G - 1), to first order: the
    infinitesimal jackknife (Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans",
    ch. 6). Not estimable from moments alone, and where nothing varies.
    """
    arms = {"control": (control, -1.0), "treatment": (treatment, 1.0)}
    if any(figure.influence.size == 0 for figure, _ in arms.values()):
        return NotEstimable(Cause.NEEDS_UNITS)
    squares = np.concatenate([figure.influence**2 for figure, _ in arms.values()])
    whole = float(squares.sum())
    if whole == 0.0:
        return NotEstimable(Cause.ZERO_VARIANCE)
    found = [
        Leverage(
            arm=name,
            cluster=int(cluster),
            shift=-sign * float(figure.influence[cluster]) * (figure.degrees + 1) / figure.degrees,
            variance_share=float(figure.influence[cluster]) ** 2 / whole,
        )
        for name, (figure, sign) in arms.items()
        for cluster in np.argsort(-np.abs(figure.influence))[:top]
    ]
    found.sort(key=lambda each: -each.variance_share)
    return Outliers(tuple(found[:top]), 1 / float(((squares / whole) ** 2).sum()))
