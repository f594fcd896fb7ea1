"""What a look finds in each of many simulated runs. Arrays have one entry a run."""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np

from tidegate.model import PPM
from tidegate_server.analysis.confidence_sequence import Tuning, for_harm
from tidegate_server.analysis.decision import EffectRule, Evidence, MetricEvidence
from tidegate_server.analysis.decision import Goal as JudgedGoal
from tidegate_server.analysis.decision import Guardrail as JudgedGuardrail
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.evidence import Bounds
from tidegate_server.analysis.mixture import log_mixture_ratios
from tidegate_server.analysis.quality import ALPHA
from tidegate_server.analysis.sample_ratio import CONCENTRATION
from tidegate_server.analysis.sequence_margins import one_sided_margins
from tidegate_server.domain.experiments.effects_of_runs import Effects, effects
from tidegate_server.domain.experiments.judged import tuning_of
from tidegate_server.domain.experiments.look import CeilingReading, Findings
from tidegate_server.domain.experiments.plan import MetricName, Plan
from tidegate_server.domain.experiments.stream import Stream
from tidegate_server.domain.experiments.synthetic import (
    Bools,
    Floats,
    Integers,
    Synthetic,
    spread,
)

SHOWN, HARM = 0, 1
"""The two kinds of bounds: at alpha, to promote or give up; at alpha / metrics, to roll back."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric that is compared. spreads: of control and treatment, between units."""

    name: MetricName
    role: JudgedGoal | JudgedGuardrail
    tolerance: float | None
    higher_is_better: bool
    spreads: tuple[float, float]


def judged_metrics(plan: Plan, stream: Stream) -> tuple[Judged, ...]:
    """Return what a plan compares, the goal first."""
    roles: list[tuple[MetricName, JudgedGoal | JudgedGuardrail, float | None]] = []
    if plan.goal is not None:
        role = JudgedGoal(plan.goal.min_effect, plan.goal.rule)
        roles.append((plan.goal.metric, role, plan.goal.tolerance))
    roles += [(each.metric, JudgedGuardrail(each.margin), each.tolerance) for each in plan.margins]
    found = []
    for name, kind, tolerance in roles:
        metric = stream.metrics[name]
        arms = metric.control, metric.treatment
        spreads = spread(arms[0], metric.icc, stream), spread(arms[1], metric.icc, stream)
        found.append(Judged(name, kind, tolerance, metric.higher_is_better, spreads))
    return tuple(found)


class Glance:
    """One look at all runs. share_ppm: of the treatment. interval: number of the one just over."""

    def __init__(
        self,
        plan: Plan,
        judged: Sequence[Judged],
        data: Synthetic,
        share_ppm: Integers,
        interval: int,
    ) -> None:
        self._plan, self._judged, self._data, self._interval = plan, judged, data, interval
        self._exposed = share_ppm > 0
        present = data.units[data.phase, :, np.arange(share_ppm.size)].T
        has_share = np.stack([share_ppm < PPM, self._exposed])
        self._stage_units = np.where(has_share, present, np.inf).min(axis=0)
        self._heard = np.where(has_share, data.heard, interval).min(axis=0)
        self._p_value = _p_value(present, share_ppm)
        units = np.where((data.units > 0).all(axis=1, keepdims=True), data.units, 0.0)
        size = 4 * units.prod(axis=1) / np.maximum(units.sum(axis=1), 1.0)
        tuning = tuning_of(plan)
        self._information = size.sum(axis=0) / tuning.planned
        self._units = units.sum(axis=0).min(axis=0) if plan.compares else self._stage_units
        self._ready = self._units >= (plan.quality.burn_in if plan.compares else 0.0)
        reaches = _reaches(tuning, self._information, plan.quality.alpha, len(judged))
        compared = judged if (self._ready & self._exposed).any() else ()
        self._effects = [
            effects(units, data.sums[each.name], each.spreads, reaches) for each in compared
        ]

    def bits(self, needed: Integers) -> Bools:
        """Return what `decide` can tell of the looks, shape (bits, runs): equal bits, equal steps.

        needed: units of the present stage.
        """
        silence = self._plan.quality.silence / self._plan.interval
        alike = np.zeros(needed.size, np.bool_)
        bits = [
            self._units > 0,
            self._ready,
            self._information >= 1,
            self._p_value < ALPHA,
            (self._heard < 0) | (self._interval - self._heard > silence),
            self._stage_units < needed,
            *self._exceeded(),
        ]
        for index, judged in enumerate(self._judged):
            found = self._beyond(judged, self._effects[index]) if self._effects else (alike,) * 3
            bits += [self._ready & each for each in found]
        return np.stack(bits) & self._exposed

    def findings(self, run: int, now: datetime) -> Findings:
        """Return what one run's look finds."""
        silent = self._interval - int(self._heard[run])
        return Findings(
            Evidence(
                tuple(self._evidence(index, run) for index in range(len(self._judged))),
                float(self._units[run]),
                float(self._information[run]),
            ),
            ceilings=tuple(self._readings(run)),
            stage_units=float(self._stage_units[run]),
            newest=None if self._heard[run] < 0 else now - silent * self._plan.interval,
            sample_ratio_p=max(float(self._p_value[run]), sys.float_info.min),
        )

    def _beyond(self, judged: Judged, found: Effects) -> tuple[Bools, Bools, Bools]:
        """Tell which limits lie outside a metric's bounds: harm is shown, it is shown, it can't."""
        (lower, upper), (_, least_harmed) = (_gain(judged, *bounds) for bounds in found.bounds)
        tolerance = np.inf if judged.tolerance is None else judged.tolerance
        harmed = -least_harmed > tolerance
        if isinstance(judged.role, JudgedGuardrail):
            return harmed, lower > -judged.role.margin, np.zeros_like(harmed)
        least = judged.role.min_effect
        shown = lower > least
        if judged.role.rule is EffectRule.POINT:
            point = found.value if judged.higher_is_better else -found.value
            shown = (lower > 0) & (point > least)
        return harmed, shown, upper < least

    def _exceeded(self) -> Iterator[Bools]:
        for window in self._data.windows:
            ceiling, value, slack = window.ceiling, window.value, window.slack
            if ceiling.floor:
                beyond = value + slack < ceiling.limit
            else:
                beyond = value - slack > ceiling.limit
            yield beyond & (window.events >= ceiling.least_events)

    def _readings(self, run: int) -> Iterator[CeilingReading]:
        for window in self._data.windows:
            value, slack = float(window.value[run]), float(window.slack[run])
            yield CeilingReading(value, int(window.events[run]), slack)

    def _evidence(self, index: int, run: int) -> MetricEvidence:
        judged = self._judged[index]
        found = self._effects[index] if self._effects else None
        known = found is not None and math.isfinite(found.value[run])
        return MetricEvidence(
            name=str(judged.name),
            role=judged.role,
            higher_is_better=judged.higher_is_better,
            bounds=partial(_bounds, found if known else None, run, SHOWN),
            harm=partial(_bounds, found if known else None, run, HARM),
            point=float(found.value[run]) if found and known else NotEstimable(Cause.BURN_IN),
            tolerance=judged.tolerance,
        )


@np.errstate(divide="ignore", invalid="ignore")
def _reaches(tuning: Tuning, information: Floats, alpha: float, metrics: int) -> list[Floats]:
    """Return how many standard errors away bounds lie: of what is SHOWN, and of HARM."""
    early = for_harm(tuning)
    least = information * (tuning.planned / early.planned)
    return [
        one_sided_margins(information, alpha, tuning.horizon),
        one_sided_margins(least, alpha / max(metrics, 1), early.horizon),
    ]


def _bounds(found: Effects | None, run: int, kind: int, alpha: float) -> Bounds | NotEstimable:
    """Return one run's bounds of a kind, which are those at the level that `judge` asks for."""
    if found is None:
        return NotEstimable(Cause.BURN_IN)
    lower, upper = found.bounds[kind]
    return Bounds(float(lower[run]), float(upper[run]))


def _gain(judged: Judged, lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    return (lower, upper) if judged.higher_is_better else (-upper, -lower)


def _p_value(units: Floats, share_ppm: Integers) -> Floats:
    """Return the always-valid p-value of the present phase's split; 1 where there is none.

    units: shape (2, runs).
    """
    split = (share_ppm > 0) & (share_ppm < PPM) & (units.sum(axis=0) > 0)
    share = np.where(split, share_ppm / PPM, 0.5)
    shares = np.stack([1 - share, share], axis=1)
    evidence = log_mixture_ratios(units.T, CONCENTRATION * shares, shares)
    return np.where(split, np.exp(-np.maximum(evidence, 0.0)), 1.0)
