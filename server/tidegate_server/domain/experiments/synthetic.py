"""Events of many runs drawn at random, as a stream would have brought them.

Only sums are drawn, at once for each interval and arm: of the units that come, a gamma variable
with the mean, deviation and skewness that the sum of their requests would have. Units bring all
their requests when they come, and metrics are drawn independently of each other.

All arrays have one entry a run in their last axis.
"""

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from tidegate.model import PPM
from tidegate_server.analysis.clusters import design_effect, unit_deviation
from tidegate_server.domain.experiments.ceilings import CERTAIN, MOST_ALIKE
from tidegate_server.domain.experiments.plan import Ceiling, Plan
from tidegate_server.domain.experiments.stream import Fault, Moments, Simulated, Stream

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

CONTROL, TREATMENT = 0, 1
HEARD = 0.9
"""The part of the treatment's units that is heard of where units are lost."""


class Synthetic:
    """What has come in so far.

    units: of each phase and arm, shape (phases, 2, runs). sums: of all units' figures, by metric of
    the stream, of the same shape. phase: the present one. heard: number of the interval in which
    each arm was last heard of in it, shape (2, runs); -1: never. exposed: units that met the
    treatment. windows: what the plan's ceilings see.
    """

    def __init__(self, plan: Plan, stream: Stream, runs: int, rng: np.random.Generator) -> None:
        self.units = np.zeros((1, 2, runs))
        self.sums = {name: np.zeros((1, 2, runs)) for name in stream.metrics}
        self.phase = np.zeros(runs, np.int64)
        self.heard = np.full((2, runs), -1)
        self.exposed = np.zeros(runs)
        self.windows = [Window(each, plan, stream, runs) for each in plan.ceilings]
        self._plan, self._stream, self._rng = plan, stream, rng
        self._draws = {
            name: (_Draw(each.control, each.icc, stream), _Draw(each.treatment, each.icc, stream))
            for name, each in stream.metrics.items()
        }

    def begin_phases(self, changed: Bools) -> None:
        """Note in which runs the split has changed."""
        self.phase[changed] += 1
        self.heard[:, changed] = -1
        if self.phase.max(initial=0) == len(self.units):
            another = np.zeros((1, *self.units.shape[1:]))
            self.units = np.concatenate([self.units, another])
            self.sums = {name: np.concatenate([old, another]) for name, old in self.sums.items()}

    def keep(self, kept: Bools) -> None:
        """Forget all runs but these."""
        self.units = self.units[..., kept]
        self.sums = {name: old[..., kept] for name, old in self.sums.items()}
        self.phase, self.exposed = self.phase[kept], self.exposed[kept]
        self.heard = self.heard[:, kept]
        for window in self.windows:
            window.keep(kept)

    def arrive(self, interval: int, share_ppm: Integers, faults: Collection[Fault]) -> None:
        """Draw what comes in the interval of this number while the treatment has these shares."""
        stream, runs = self._stream, np.arange(share_ppm.size)
        minutes = self._plan.interval.total_seconds() / 60
        rate = stream.units_per_minute * minutes * stream.arrivals[interval % len(stream.arrivals)]
        rate = 0.0 if Fault.SILENCE in faults else rate
        share = np.stack([PPM - share_ppm, share_ppm]) / PPM
        came = self._rng.poisson(rate * share)
        self.exposed += came[TREATMENT]
        if Fault.LOST_UNITS in faults:
            came[TREATMENT] = self._rng.binomial(came[TREATMENT], HEARD)
        self.heard[came > 0] = interval
        self.units[self.phase, :, runs] += came.T
        drawn = {}
        for name, draws in self._draws.items():
            drawn[name] = np.stack(
                [draw(self._rng, units) for draw, units in zip(draws, came, strict=True)]
            )
            self.sums[name][self.phase, :, runs] += drawn[name].T
        for window in self.windows:
            window.add(came[TREATMENT], drawn[window.ceiling.metric][TREATMENT])


class Window:
    """The treatment's units and the sum of their figures over a ceiling's window, for each run."""

    def __init__(self, ceiling: Ceiling, plan: Plan, stream: Stream, runs: int) -> None:
        self.ceiling = ceiling
        self._requests = stream.requests_per_unit
        metric = stream.metrics[ceiling.metric]
        self._deviation, self._is_rate = metric.treatment.deviation, _is_rate(metric.treatment)
        self._alike = _alike_in_window(metric, stream)
        self.units, self.total = np.zeros(runs), np.zeros(runs)
        self._recent = np.zeros((max(1, ceiling.window // plan.interval), 2, runs))
        self._oldest = 0

    @property
    def events(self) -> Integers:
        """How many events the window has."""
        return np.rint(self.units * self._requests).astype(np.int64)

    @property
    def value(self) -> Floats:
        """The mean figure of the window's units; 0 without any."""
        return self.total / np.maximum(self.units, 1.0)

    @property
    def slack(self) -> Floats:
        """How far chance may have moved the mean, as in `ceilings`."""
        rate = np.clip(self.value, 0.0, 1.0)
        deviation = np.sqrt(rate * (1.0 - rate)) if self._is_rate else self._deviation
        requests = np.maximum(self.units * self._requests, 1.0)
        return np.asarray(CERTAIN * deviation * np.sqrt(self._alike / requests))

    def add(self, units: Integers, total: Floats) -> None:
        """Put one interval in the place of the oldest."""
        slot = self._recent[self._oldest]
        self.units += units - slot[0]
        self.total += total - slot[1]
        slot[0], slot[1] = units, total
        self._oldest = (self._oldest + 1) % len(self._recent)

    def keep(self, kept: Bools) -> None:
        """Forget all runs but these."""
        self.units, self.total = self.units[kept], self.total[kept]
        self._recent = self._recent[..., kept]


class _Draw:
    """Draws the sum of one arm's figures, one figure a unit."""

    def __init__(self, moments: Moments, icc: float, stream: Stream) -> None:
        skewness = _unit_skewness(moments.skewness, icc, stream.requests_per_unit)
        self._mean = moments.mean
        self._shape = 4 / max(abs(skewness), 1e-3) ** 2
        self._scale = math.copysign(spread(moments, icc, stream) / math.sqrt(self._shape), skewness)

    def __call__(self, rng: np.random.Generator, units: Integers) -> Floats:
        shape = self._shape * units
        return units * self._mean + self._scale * (rng.standard_gamma(shape) - shape)


def spread(moments: Moments, icc: float, stream: Stream) -> float:
    """Return the deviation that one unit stands for: its square / units is a mean's variance."""
    return unit_deviation(moments.deviation, stream.requests_per_unit, icc, stream.variation)


def _alike_in_window(metric: Simulated, stream: Stream) -> float:
    """Return the design effect of a metric as ceilings see it."""
    alike = design_effect(stream.requests_per_unit, metric.icc, stream.variation)
    return min(alike, MOST_ALIKE)


def _is_rate(moments: Moments) -> bool:
    """Return whether a figure is 0 or 1, so that its deviation follows from its mean."""
    return math.isclose(moments.deviation**2, moments.mean * (1 - moments.mean), rel_tol=1e-6)


def _unit_skewness(skewness: float, icc: float, requests: float) -> float:
    """Return the skewness of the mean of a unit's requests.

    A request is taken for the sum of a part that is the unit's, with `icc` of the variance, and one
    of its own, both equally skew.
    """
    common, own = math.pow(icc, 1.5), math.pow(1 - icc, 1.5)
    third = skewness * (common + own / requests**2) / (common + own)
    return third / math.pow(icc + (1 - icc) / requests, 1.5)
