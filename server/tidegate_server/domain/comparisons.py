"""Treatments compared with the control, outcome by outcome.

Figures are computed and paired within each phase and then combined (`analysis.phases`), so over
several phases a comparison's control and treatment are weighted means of the phases' figures.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

from tidegate.model import Direction, Metric, Phase, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate, OutcomeAggregate
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.confidence_sequence import AlwaysValid, Reading, Tuning, always_valid
from tidegate_server.analysis.effect_size import EffectSize, effect_size
from tidegate_server.analysis.effects import difference
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.histogram import is_exact, merge_histograms, occupied_bins
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.phases import (
    Heterogeneity,
    Pair,
    combine_phases,
    estimable_pair,
    heterogeneity,
)
from tidegate_server.analysis.posterior import posterior_of
from tidegate_server.analysis.quantiles import quantile_figure
from tidegate_server.analysis.spread import PhaseFigures
from tidegate_server.analysis.units import count_units
from tidegate_server.domain.metrics import QUANTILES, Better, Statistic, better_side, direction_of

SEQUENCE = Tuning(planned=10_000)
"""Reports know of no plan: their sequences are tightest at 10,000 units of an even split."""

MOST_COUNTED = float(1 << 20)
"""Units taken for an arm whose bitmap is full: fewer than there are, the safe side."""

Phases: TypeAlias = Mapping[Phase, ArmAggregate]
"""One variant's aggregates by phase."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A treatment against the control on one statistic of one outcome.

    estimate: at a fixed horizon: good for one look. always_valid: good for any number of them.
    better: by the estimate; UNKNOWN also where there is none. units: of control and treatment in
    the phases that are compared, >= 0. heterogeneity: whether the phases' differences agree.
    """

    treatment: VariantKey
    outcome: str
    statistic: Statistic
    direction: Direction
    estimate: Estimate | NotEstimable
    always_valid: AlwaysValid | NotEstimable
    effect_size: EffectSize | NotEstimable
    better: Better
    units: tuple[float, float]
    heterogeneity: Heterogeneity | NotEstimable

    @property
    def better_at_any_look(self) -> Better:
        """The side that is better by the always-valid interval that decides."""
        if isinstance(self.always_valid, NotEstimable):
            return Better.UNKNOWN
        return better_side(deciding(self.always_valid).interval, self.direction)

    @property
    def detectable(self) -> float | NotEstimable:
        """The relative difference that one look would have found, at 5 % with 80 % chance, > 0."""
        return detectable_of(self.estimate)

    @property
    def chance_to_win(self) -> float | NotEstimable:
        """The chance that the treatment is better, in [0, 1], under a flat prior."""
        if isinstance(self.estimate, NotEstimable):
            return self.estimate
        if self.direction is Direction.UNKNOWN:
            return NotEstimable(Cause.NO_DIRECTION)
        belief = posterior_of(self.estimate.effect)
        if isinstance(belief, NotEstimable):
            return belief
        return belief.chance_to_win(higher_is_better=self.direction is Direction.HIGHER)


def deciding(look: AlwaysValid) -> Reading:
    """Return the reading to decide by: the relative one, where there is one."""
    return look.difference if isinstance(look.relative, NotEstimable) else look.relative


def units_of(arm: ArmAggregate) -> float | NotEstimable:
    """Return the estimated number of distinct units of an arm, >= 0."""
    counted = count_units(arm.units)
    return counted if isinstance(counted, NotEstimable) else counted.units


def events_of(arm: ArmAggregate) -> int:
    """Return the number of an arm's events: exposures and outcomes."""
    return arm.exposures + sum(int(each.cells.count.sum()) for each in arm.outcomes.values())


def units_at_least(arm: ArmAggregate) -> float:
    """Return the estimated number of an arm's units; where the bitmap is full, MOST_COUNTED."""
    units = units_of(arm)
    return MOST_COUNTED if isinstance(units, NotEstimable) else units


def comparisons(
    treatment: VariantKey, control: Phases, treated: Phases, metrics: Iterable[Metric]
) -> Iterator[Comparison]:
    """Yield the comparisons of one treatment, by outcome and statistic.

    control, treated: the two variants' aggregates. metrics: the flag's.
    """
    declared = tuple(metrics)
    for name in sorted({name for arms in (control, treated) for name in _outcomes(arms)}):
        direction = direction_of(name, declared)
        for statistic in _statistics(name, control, treated):
            figures = figures_by_phase(name, statistic, control, treated)
            if isinstance(figures, NotEstimable):
                yield Comparison(
                    treatment=treatment,
                    outcome=name,
                    statistic=statistic,
                    direction=direction,
                    estimate=figures,
                    always_valid=figures,
                    effect_size=figures,
                    better=Better.UNKNOWN,
                    units=(0.0, 0.0),
                    heterogeneity=figures,
                )
                continue
            estimate = estimate_of(figures)
            phases = list(figures.values())
            yield Comparison(
                treatment,
                name,
                statistic,
                direction,
                estimate,
                always_valid(phases, SEQUENCE),
                _effect_size(statistic, estimate, figures, (control, treated)),
                _better(estimate, direction),
                (sum(f.control_units for f in phases), sum(f.treatment_units for f in phases)),
                _heterogeneity(phases),
            )


def figures_by_phase(
    name: str, statistic: Statistic, control: Phases, treated: Phases
) -> Mapping[Phase, PhaseFigures] | NotEstimable:
    """Return the figures of the phases in which both arms have them, or why there are none."""
    if name not in _outcomes(control):
        return NotEstimable(Cause.NO_EVENTS, "control")
    if name not in _outcomes(treated):
        return NotEstimable(Cause.NO_EVENTS, "treatment")
    tried = {
        phase: _pair(statistic, control[phase].outcomes[name], treated[phase].outcomes[name])
        for phase in control.keys() & treated.keys()
        if name in control[phase].outcomes and name in treated[phase].outcomes
    }
    figures = {
        phase: PhaseFigures(*pair, units_at_least(control[phase]), units_at_least(treated[phase]))
        for phase, pair in sorted(tried.items())
        if not isinstance(pair, NotEstimable)
    }
    if figures:
        return figures
    failures = [pair for _, pair in sorted(tried.items()) if isinstance(pair, NotEstimable)]
    return failures[-1] if failures else NotEstimable(Cause.NO_COMMON_PHASE)


def estimate_of(figures: Mapping[Phase, PhaseFigures]) -> Estimate | NotEstimable:
    """Compare at a fixed horizon, phase by phase. figures: of at least one phase."""
    return compare(*combine_phases([(each.control, each.treatment) for each in figures.values()]))


def detectable_of(estimate: Estimate | NotEstimable) -> float | NotEstimable:
    """Return the relative difference that one look would have found, at 5 % with 80 % chance."""
    if isinstance(estimate, NotEstimable):
        return estimate
    ratio = estimate.log_ratio
    if isinstance(ratio, NotEstimable):
        return ratio
    try:
        return math.expm1(ratio.detectable())
    except OverflowError:
        return NotEstimable(Cause.OVERFLOW)


def _heterogeneity(phases: Iterable[PhaseFigures]) -> Heterogeneity | NotEstimable:
    """Test whether the phases' differences agree; those that can't be computed take no part."""
    found = [difference(each.control, each.treatment) for each in phases]
    return heterogeneity([each for each in found if not isinstance(each, NotEstimable)])


def _better(estimate: Estimate | NotEstimable, direction: Direction) -> Better:
    if isinstance(estimate, NotEstimable):
        return Better.UNKNOWN
    return better_side(estimate.interval, direction)


def _outcomes(phases: Phases) -> set[str]:
    return {name for arm in phases.values() for name in arm.outcomes}


def _statistics(name: str, control: Phases, treated: Phases) -> Sequence[Statistic]:
    """Return what of an outcome is compared: quantiles only of more than two different values."""
    histograms = [
        arm.outcomes[name].histogram
        for arms in (control, treated)
        for arm in arms.values()
        if name in arm.outcomes
    ]
    binary = occupied_bins(reduce(merge_histograms, histograms)) <= 2
    return (Statistic.MEAN,) if binary else tuple(Statistic)


def _pair(
    statistic: Statistic, control: OutcomeAggregate, treatment: OutcomeAggregate
) -> Pair | NotEstimable:
    if statistic is Statistic.MEAN:
        return estimable_pair(mean_figure(control.cells), mean_figure(treatment.cells))
    exact = all(is_exact(each.histogram, each.cells) for each in (control, treatment))
    share = QUANTILES[statistic]
    return estimable_pair(
        quantile_figure(control.histogram, share, exact=exact),
        quantile_figure(treatment.histogram, share, exact=exact),
    )


def _effect_size(
    statistic: Statistic,
    estimate: Estimate | NotEstimable,
    figures: Mapping[Phase, PhaseFigures],
    variants: tuple[Phases, Phases],
) -> EffectSize | NotEstimable:
    if isinstance(estimate, NotEstimable):
        return estimate
    if statistic is not Statistic.MEAN:
        return NotEstimable(Cause.NOT_ON_UNITS)
    arms = [
        (figure, units_of(variant[phase]))
        for phase, each in figures.items()
        for figure, variant in zip((each.control, each.treatment), variants, strict=True)
    ]
    return effect_size(estimate.difference, arms)
