"""How many units an experiment needs, and what it can find with those it gets.

Every figure of a plan is in units of both arms together. A metric is described by what one unit
stands for (`clusters.unit_deviation`): with n units, a part s of them treated, the difference of
two means has the variance deviation² / (n s (1 - s)).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.group_sequential import (
    LIMIT,
    Boundaries,
    boundaries,
    crossing,
    drift_for,
)
from tidegate_server.analysis.looks import BURN_IN, Analysis
from tidegate_server.analysis.sequence_margins import Horizon, margin, one_sided_margin

_ALWAYS_LOOKS = 40
"""Looks by which an always-valid analysis is approximated: with 100, power is 1 % higher."""


@dataclass(frozen=True, slots=True)
class Design:
    """What is promised, and how the experiment is run.

    alpha: in (0, 0.5), of each metric. power: above alpha, below 1, of each metric. share: treated
    units among those of both arms, in (0, 1). looks: of a group-sequential analysis, >= 1.
    two_sided: whether alpha is of both sides together; decisions are one-sided. burn_in: units in
    the smaller arm that an always-valid analysis waits for.

    Raises:
        ValueError: a number is out of range.
    """

    alpha: float = 0.05
    power: float = 0.8
    share: float = 0.5
    analysis: Analysis = Analysis.ALWAYS_VALID
    looks: int = 5
    two_sided: bool = False
    burn_in: float = BURN_IN

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha: must be in (0, 0.5), not {self.alpha}")
        if not self.alpha < self.power < 1:
            raise ValueError(f"power: must be above alpha and below 1, not {self.power}")
        if not 0 < self.share < 1:
            raise ValueError(f"share: must be in (0, 1), not {self.share}")
        if not 1 <= self.looks <= 100:
            raise ValueError(f"looks: must be 1 to 100, not {self.looks}")

    @property
    def drift(self) -> float:
        """The true effect in standard errors at the planned size that is found with `power`."""
        return _drift(self)

    def power_at(self, drift: float) -> float:
        """Return the chance to show an effect of `drift` >= 0 standard errors, in [0, 1]."""
        plan = _boundaries(self)
        if plan is None:
            z = _critical(self)
            missed = float(ndtr(-z - drift)) if self.two_sided else 0.0
            return float(ndtr(drift - z)) + missed
        return min(crossing(plan, drift)[-1], 1.0)


@dataclass(frozen=True, slots=True)
class PlannedMetric:
    """One metric of a plan.

    distance: how far the truth is from what must be refuted, > 0, on the scale of `deviation`: the
        effect hoped for less the minimum effect; for a guardrail of no effect, its margin.
    deviation: what one unit stands for, >= 0, on that scale.

    Raises:
        ValueError: a number is out of range.
    """

    name: str
    distance: float
    deviation: float

    def __post_init__(self) -> None:
        if not 0 < self.distance < math.inf:
            raise ValueError(f"{self.name}: the effect or margin must be a number > 0")
        if not 0 <= self.deviation < math.inf:
            raise ValueError(f"{self.name}: the deviation must be a number >= 0")


def relative_metric(
    name: str, mean: float, deviation: float, change: float, minimum: float = 0.0
) -> PlannedMetric:
    """Return a metric whose effect is a part of the control's, compared on the log-ratio.

    mean: the control's, not 0. deviation: of a unit, in the outcome's unit. change: the true
    relative change hoped for, signed (-0.05 is 5 % less); of a guardrail its margin, signed as
    harm is. minimum: what must be exceeded, of the same sign and smaller. The delta method gives
    log x the deviation of x divided by the mean.

    Raises:
        ValueError: the mean is 0, a change is not above -1, or the minimum is not between 0 and the
            change.
    """
    if mean == 0 or not math.isfinite(mean):
        raise ValueError(f"{name}: the mean must be a number other than 0: effects are parts of it")
    if min(change, minimum) <= -1:
        raise ValueError(f"{name}: a change must be above -100 %")
    if minimum and not (0 < minimum < change or change < minimum < 0):
        raise ValueError(f"{name}: the minimum must lie between 0 and the change hoped for")
    distance = abs(math.log1p(change) - math.log1p(minimum))
    return PlannedMetric(name, distance, deviation / abs(mean))


@dataclass(frozen=True, slots=True)
class MetricNeed:
    """What one metric needs. units: of both arms. power: at the size of the whole plan, in [0, 1].

    detectable: the distance that is found with the design's power at the size of the whole plan.
    """

    metric: PlannedMetric
    units: int
    power: float
    detectable: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The size at which every metric has its power.

    units: of both arms. needs: by metric, the one that sets the size first. joint_power: at least
    this is the chance to show all of them, if all are as hoped for (Bonferroni's inequality).
    """

    units: int
    needs: tuple[MetricNeed, ...]
    joint_power: float

    def days(self, units_per_day: float) -> int:
        """Return how many days of new units this takes; units_per_day > 0, of both arms."""
        return math.ceil(self.units / units_per_day)


def plan(metrics: Sequence[PlannedMetric], design: Design) -> Plan:
    """Return what goal and guardrails need together. metrics: at least one."""
    wanted = {each: units_needed(each, design) for each in metrics}
    units = max(wanted.values())
    needs = [
        MetricNeed(each, own, power_of(each, design, units), detectable(each, design, units))
        for each, own in wanted.items()
    ]
    needs.sort(key=lambda need: -need.units)
    joint = 1 - sum(1 - need.power for need in needs)
    return Plan(units, tuple(needs), max(joint, 0.0))


def units_needed(metric: PlannedMetric, design: Design) -> int:
    """Return the units of both arms that give `design.power`; at least what the analysis needs.

    n = (drift · deviation / distance)² / (s (1 - s)): for a fixed one-sided test the drift is
    z(1 - alpha) + z(power) (Lachin 1981, Controlled Clin. Trials 2, 93-113).

    Raises:
        ValueError: no number of units is enough.
    """
    ratio = design.drift * metric.deviation / metric.distance
    units = ratio * ratio / (design.share * (1 - design.share))
    if not math.isfinite(units):
        raise ValueError(f"{metric.name}: the effect or margin is too small to be shown")
    smaller = min(design.share, 1 - design.share)
    least = design.burn_in if design.analysis is Analysis.ALWAYS_VALID else 2
    return math.ceil(round(max(units, least / smaller), 6))


def power_of(metric: PlannedMetric, design: Design, units: float) -> float:
    """Return the chance to show the metric's distance with `units` > 0 of both arms."""
    if metric.deviation == 0.0:
        return 1.0
    root = math.sqrt(units * design.share * (1 - design.share))
    return design.power_at(min(metric.distance / metric.deviation * root, 100.0))


def detectable(metric: PlannedMetric, design: Design, units: float) -> float:
    """Return the least distance that `units` > 0 of both arms find with the design's power."""
    return design.drift * metric.deviation / math.sqrt(units * design.share * (1 - design.share))


def _critical(design: Design) -> float:
    return -float(ndtri(design.alpha / (1 + design.two_sided)))


@lru_cache(maxsize=64)
def _boundaries(design: Design) -> Boundaries | None:
    """Return the boundaries that the design stops at; None where there is but one look.

    Even looks, each of a hundredth of the plan or more, always have boundaries.
    """
    if design.analysis is Analysis.FIXED:
        return None
    if design.analysis is Analysis.ALWAYS_VALID:
        fractions = tuple((i + 1) / _ALWAYS_LOOKS for i in range(_ALWAYS_LOOKS))
        reach = margin if design.two_sided else one_sided_margin
        critical = tuple(
            min(reach(each, design.alpha, Horizon.PLANNED), LIMIT) for each in fractions
        )
        bare = Boundaries(fractions, critical, (0.0,) * len(fractions), design.two_sided)
        return Boundaries(fractions, critical, crossing(bare, 0.0), design.two_sided)
    looks = tuple((i + 1) / design.looks for i in range(design.looks))
    found = boundaries(looks, 1.0, alpha=design.alpha, two_sided=design.two_sided)
    return None if isinstance(found, NotEstimable) else found


@lru_cache(maxsize=64)
def _drift(design: Design) -> float:
    found = _boundaries(design)
    if found is not None:
        return drift_for(found, design.power)
    return float(brentq(lambda drift: design.power_at(drift) - design.power, 0.0, 50.0, xtol=1e-12))
