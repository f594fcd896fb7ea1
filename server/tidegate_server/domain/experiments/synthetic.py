"""Evidence drawn at random, as a stream would have brought it.

Only sums are drawn, at once for each look: with units that come at a constant rate, the mean of an
arm's requests is nearly normal around its true value, with the error that
`analysis.clusters.unit_deviation` gives.
"""

import math
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from tidegate.model import PPM
from tidegate_server.analysis.clusters import unit_deviation
from tidegate_server.analysis.confidence_sequence import effective_size, read
from tidegate_server.analysis.decision import Evidence, MetricEvidence
from tidegate_server.analysis.effects import log_ratio
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.evidence import Bounds, Source
from tidegate_server.analysis.figures import bare_figure
from tidegate_server.analysis.phases import combine_phases
from tidegate_server.analysis.sample_ratio import SampleRatio, sample_ratio
from tidegate_server.analysis.spread import PhaseFigures, steadied
from tidegate_server.analysis.units import UnitCount
from tidegate_server.domain.experiments.judged import judged_metrics
from tidegate_server.domain.experiments.look import CeilingReading, Findings
from tidegate_server.domain.experiments.plan import ZERO, MetricName, Plan
from tidegate_server.domain.experiments.stream import Fault, Stream


def _source(phases: Sequence[PhaseFigures], planned: float) -> Source:
    """Return what `sequence_source` does of relative effects; phases are combined only once.

    The burn-in is left to `judge`.
    """
    size = sum(effective_size(each.control_units, each.treatment_units) for each in phases)
    effect = (
        log_ratio(*combine_phases([steadied(each, 0.5) for each in phases]))
        if phases
        else NotEstimable(Cause.BURN_IN)
    )

    def bounds(alpha: float) -> Bounds | NotEstimable:
        if isinstance(effect, NotEstimable):
            return effect
        found = read(effect, size / planned, alpha)
        if isinstance(found, NotEstimable):
            return found
        return Bounds(math.expm1(found.lower), math.expm1(found.upper))

    return bounds


@dataclass(slots=True)
class _Phase:
    """What is known of one phase: units of each arm, and the sums of all units, by metric."""

    units: list[float] = field(default_factory=lambda: [0.0, 0.0])
    sums: dict[MetricName, list[float]] = field(default_factory=dict)


class Synthetic:
    """The data of one run. exposed: units that met the treatment so far."""

    def __init__(
        self, plan: Plan, stream: Stream, rng: np.random.Generator, start: datetime
    ) -> None:
        self.plan, self.stream, self.rng = plan, stream, rng
        self.exposed = 0.0
        self._newest = start
        self._phases = [_Phase()]
        self._recent: deque[tuple[float, dict[MetricName, float]]] = deque()
        self._spreads = {
            name: unit_deviation(each.deviation, stream.requests_per_unit, stream.icc)
            for name, each in stream.metrics.items()
        }
        self._longest = max((each.window for each in plan.ceilings), default=ZERO)

    def begin_phase(self) -> None:
        """Note that the split has changed."""
        self._phases.append(_Phase())

    def arrive(self, now: datetime, share_ppm: int, faults: Collection[Fault]) -> None:
        """Draw the units and sums of the interval that ends at `now`."""
        minutes = self.plan.interval.total_seconds() / 60
        rate = 0.0 if Fault.SILENCE in faults else self.stream.units_per_minute * minutes
        share = share_ppm / PPM
        control, treated = self.rng.poisson([rate * (1 - share), rate * share])
        self.exposed += float(treated)
        if Fault.LOST_UNITS in faults:
            treated = self.rng.binomial(treated, 0.9)
        if control + treated == 0:
            return
        self._newest = now
        phase, drawn = self._phases[-1], {}
        for arm, units in enumerate((control, treated)):
            phase.units[arm] += units
        for name, metric in self.stream.metrics.items():
            sums = phase.sums.setdefault(name, [0.0, 0.0])
            means = metric.mean, metric.mean * (1 + metric.effect)
            noise = self.rng.standard_normal(2)
            for arm, units in enumerate((control, treated)):
                spread = self._spreads[name] * float(np.sqrt(units))
                drawn[name] = units * means[arm] + spread * noise[arm]
                sums[arm] += drawn[name]
        self._recent.append((float(treated), drawn))
        while len(self._recent) * self.plan.interval > self._longest:
            self._recent.popleft()

    def findings(self, share_ppm: int) -> Findings:
        """Return what a look finds while the treatment has `share_ppm`."""
        phases = [each for each in self._phases if min(each.units) > 0]
        present = self._phases[-1]
        with_share = [
            units
            for units, share in zip(present.units, (PPM - share_ppm, share_ppm), strict=True)
            if share
        ]
        size = sum(effective_size(*each.units) for each in phases)
        planned = self.plan.goal.planned_units if self.plan.goal else 10_000
        smaller = min(sum(each.units[arm] for each in phases) for arm in (0, 1))
        return Findings(
            evidence=Evidence(tuple(self._metrics(phases)), smaller, size / planned),
            ceilings=tuple(self._ceilings()),
            stage_units=min(with_share),
            newest=self._newest,
            sample_ratio_p=self._ratio(present, share_ppm),
        )

    def _metrics(self, phases: Sequence[_Phase]) -> Iterator[MetricEvidence]:
        goal = self.plan.goal
        planned = goal.planned_units if goal else 10_000
        for judged in judged_metrics(self.plan):
            figures = [self._figures(judged.name, each) for each in phases]
            yield MetricEvidence(
                name=str(judged.name),
                role=judged.role,
                higher_is_better=self.stream.metrics[judged.name].higher_is_better,
                bounds=_source(figures, planned),
                point=self._point(judged.name, phases),
                tolerance=judged.tolerance,
            )

    def _point(self, name: MetricName, phases: Sequence[_Phase]) -> float:
        units = [sum(each.units[arm] for each in phases) for arm in (0, 1)]
        sums = [sum(each.sums[name][arm] for each in phases) for arm in (0, 1)]
        if not (min(units) > 0 and sums[0]):
            return 0.0
        return sums[1] / units[1] / (sums[0] / units[0]) - 1

    def _figures(self, name: MetricName, phase: _Phase) -> PhaseFigures:
        control, treated = (
            bare_figure(total / units, error, error, max(1, round(units)))
            for units, total in zip(phase.units, phase.sums[name], strict=True)
            for error in [self._spreads[name] / float(np.sqrt(units))]
        )
        return PhaseFigures(control, treated, *phase.units)

    def _ceilings(self) -> Iterator[CeilingReading]:
        for ceiling in self.plan.ceilings:
            looks = max(1, ceiling.window // self.plan.interval)
            recent = list(self._recent)[-looks:]
            units = sum(number for number, _ in recent)
            total = sum(drawn.get(ceiling.metric, 0.0) for _, drawn in recent)
            events = round(units * self.stream.requests_per_unit)
            yield CeilingReading(total / units if units else 0.0, events)

    def _ratio(self, phase: _Phase, share_ppm: int) -> float:
        if not 0 < share_ppm < PPM:
            return 1.0
        counts = [UnitCount(units, 0.0) for units in phase.units]
        found = sample_ratio(counts, [PPM - share_ppm, share_ppm])
        return found.p_value if isinstance(found, SampleRatio) else 1.0
