"""Recorded traffic, and what a simulation takes from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.clusters import intraclass_correlation
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.samples import Sample


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests as they were recorded: at least two, that did not come all at once.

    seconds: when each came, from any origin on, rising; shape (n,). outcomes: by name, shape (n,),
    finite. units: number of each one's unit, from 0 on, shape (n,); None: not recorded.
    """

    seconds: NDArray[np.float64]
    outcomes: Mapping[str, NDArray[np.float64]]
    units: NDArray[np.int64] | None = None

    @property
    def duration(self) -> timedelta:
        """From the first request to the last."""
        return timedelta(seconds=float(self.seconds[-1] - self.seconds[0]))

    @property
    def requests_per_minute(self) -> float:
        """In the mean."""
        return self.seconds.size / (self.duration.total_seconds() / 60)

    @property
    def requests_per_unit(self) -> tuple[float, float] | None:
        """Their mean, and their deviation as a part of it; None where units are not recorded."""
        if self.units is None:
            return None
        counts = np.unique(self.units, return_counts=True)[1]
        return float(counts.mean()), float(counts.std() / counts.mean())

    def arrivals(self, interval: timedelta) -> tuple[float, ...]:
        """Return how many requests came in each whole interval, as a part of their mean.

        Of a trace that is shorter than an interval: 1.
        """
        step, passed = interval.total_seconds(), self.seconds - self.seconds[0]
        whole = int(passed[-1] // step)
        if whole == 0:
            return (1.0,)
        counts = np.bincount((passed // step).astype(np.int64), minlength=whole)[:whole]
        return tuple((counts / counts.mean()).tolist())

    def icc(self, outcome: str) -> float | NotEstimable | None:
        """Return how much one unit's outcomes are alike; None where units are not recorded."""
        if self.units is None:
            return None
        units, index = np.unique(self.units, return_inverse=True)
        return intraclass_correlation(Sample(index, self.outcomes[outcome], units.size))
