"""Treatments compared with the control, outcome by outcome.

Figures are computed and paired within each phase and then combined (`analysis.phases`), so over
several phases a comparison's control and treatment are weighted means of the phases' figures.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

from tidegate.model import Direction, Metric, Phase, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate, OutcomeAggregate
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.effect_size import EffectSize, effect_size
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.histogram import is_exact, merge_histograms, occupied_bins
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.phases import Pair, combine_phases, estimable_pair
from tidegate_server.analysis.quantiles import quantile_figure
from tidegate_server.analysis.units import count_units
from tidegate_server.domain.metrics import QUANTILES, Better, Statistic, better_side, direction_of

Phases: TypeAlias = Mapping[Phase, ArmAggregate]
"""One variant's aggregates by phase."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A treatment against the control on one statistic of one outcome.

    better: UNKNOWN also where there is no estimate.
    """

    treatment: VariantKey
    outcome: str
    statistic: Statistic
    direction: Direction
    estimate: Estimate | NotEstimable
    effect_size: EffectSize | NotEstimable
    better: Better


def units_of(arm: ArmAggregate) -> float | NotEstimable:
    """Return the estimated number of distinct units of an arm, >= 0."""
    counted = count_units(arm.units)
    return counted if isinstance(counted, NotEstimable) else counted.units


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
            pairs = _pairs(name, statistic, control, treated)
            estimate, effect = _compare(statistic, pairs, control, treated)
            better = _better(estimate, direction)
            yield Comparison(treatment, name, statistic, direction, estimate, effect, better)


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


def _pairs(
    name: str, statistic: Statistic, control: Phases, treated: Phases
) -> Mapping[Phase, Pair] | NotEstimable:
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
    pairs = {phase: pair for phase, pair in tried.items() if not isinstance(pair, NotEstimable)}
    if pairs:
        return pairs
    failures = [pair for _, pair in sorted(tried.items()) if isinstance(pair, NotEstimable)]
    return failures[-1] if failures else NotEstimable(Cause.NO_COMMON_PHASE)


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


def _compare(
    statistic: Statistic,
    pairs: Mapping[Phase, Pair] | NotEstimable,
    control: Phases,
    treated: Phases,
) -> tuple[Estimate | NotEstimable, EffectSize | NotEstimable]:
    if isinstance(pairs, NotEstimable):
        return pairs, pairs
    estimate = compare(*combine_phases(list(pairs.values())))
    if isinstance(estimate, NotEstimable):
        return estimate, estimate
    if statistic is not Statistic.MEAN:
        return estimate, NotEstimable(Cause.NOT_ON_UNITS)
    arms = [
        (figure, units_of(each[phase]))
        for phase, pair in pairs.items()
        for figure, each in zip(pair, (control, treated), strict=True)
    ]
    return estimate, effect_size(estimate.difference, arms)
