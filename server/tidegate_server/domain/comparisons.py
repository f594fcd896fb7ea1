"""Treatments compared with the control, outcome by outcome.

Figures are computed and paired within each phase and then combined (`analysis.phases`), so over
several phases a comparison's control and treatment are weighted means of the phases' figures.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tidegate.model import Direction, Metric, Phase, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate, Histogram, OutcomeAggregate
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.confidence_sequence import AlwaysValid, Reading, Tuning, always_valid
from tidegate_server.analysis.effect_size import EffectSize, effect_size
from tidegate_server.analysis.effects import difference
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.histogram import is_exact, occupied_bins
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.phases import (
    Heterogeneity,
    Pair,
    combine_phases,
    estimable_pair,
    heterogeneity,
)
from tidegate_server.analysis.posterior import posterior_of
from tidegate_server.analysis.quantiles import quantile_figures
from tidegate_server.analysis.sequence_margins import Horizon
from tidegate_server.analysis.spread import PhaseFigures
from tidegate_server.analysis.units import count_units
from tidegate_server.domain.metrics import QUANTILES, Better, Statistic, better_side, direction_of

SEQUENCE = Tuning(planned=10_000, horizon=Horizon.OPEN)
"""Reports know of no plan: their sequences are tightest at 10,000 units of an even split."""

MOST_COUNTED = float(1 << 20)
"""Units taken for an arm whose bitmap is full: fewer than there are, the safe side."""

Phases: TypeAlias = Mapping[Phase, ArmAggregate]
"""One variant's aggregates by phase."""

UnitsOfPair: TypeAlias = tuple[float | NotEstimable, float | NotEstimable]
"""The units of control and treatment in one phase."""


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


def at_least(units: float | NotEstimable) -> float:
    """Return the number of units; where the bitmap is full, MOST_COUNTED."""
    return MOST_COUNTED if isinstance(units, NotEstimable) else units


def units_of_pairs(control: Phases, treated: Phases) -> dict[Phase, UnitsOfPair]:
    """Return the units of both arms in each phase that both have."""
    return {
        phase: (units_of(control[phase]), units_of(treated[phase]))
        for phase in control.keys() & treated.keys()
    }


def figures_of(
    pairs: Mapping[Phase, Pair], units: Mapping[Phase, UnitsOfPair]
) -> list[PhaseFigures]:
    """Return what always-valid comparisons start from."""
    return [PhaseFigures(*pair, *map(at_least, units[phase])) for phase, pair in pairs.items()]


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


def comparisons(
    treatment: VariantKey, control: Phases, treated: Phases, metrics: Iterable[Metric]
) -> Iterator[Comparison]:
    """Yield the comparisons of one treatment, by outcome and statistic.

    control, treated: the two variants' aggregates. metrics: the flag's.
    """
    declared = tuple(metrics)
    units = units_of_pairs(control, treated)
    for name in sorted({*_outcomes(control), *_outcomes(treated)}):
        direction = direction_of(name, declared)
        for statistic, pairs in pairs_of(name, control, treated).items():
            if isinstance(pairs, NotEstimable):
                yield Comparison(
                    treatment=treatment,
                    outcome=name,
                    statistic=statistic,
                    direction=direction,
                    estimate=pairs,
                    always_valid=pairs,
                    effect_size=pairs,
                    better=Better.UNKNOWN,
                    units=(0.0, 0.0),
                    heterogeneity=pairs,
                )
                continue
            estimate, effect = _compare(statistic, pairs, units)
            figures = figures_of(pairs, units)
            yield Comparison(
                treatment,
                name,
                statistic,
                direction,
                estimate,
                always_valid(figures, SEQUENCE),
                effect,
                _better(estimate, direction),
                (sum(f.control_units for f in figures), sum(f.treatment_units for f in figures)),
                _heterogeneity(pairs.values()),
            )


def _heterogeneity(pairs: Iterable[Pair]) -> Heterogeneity | NotEstimable:
    """Test whether the phases' differences agree; those that can't be computed take no part."""
    found = [difference(*pair) for pair in pairs]
    return heterogeneity([each for each in found if not isinstance(each, NotEstimable)])


def _better(estimate: Estimate | NotEstimable, direction: Direction) -> Better:
    if isinstance(estimate, NotEstimable):
        return Better.UNKNOWN
    return better_side(estimate.interval, direction)


def _outcomes(phases: Phases) -> set[str]:
    return {name for arm in phases.values() for name in arm.outcomes}


def pairs_of(
    name: str, control: Phases, treated: Phases, quantiles: Sequence[Statistic] | None = None
) -> dict[Statistic, dict[Phase, Pair] | NotEstimable]:
    """Return, by statistic, the figures of the phases in which both arms have them, or the cause.

    quantiles: beside the mean; None: all, but for outcomes with at most two different values.
    """
    seen = [_aggregates(name, arms) for arms in (control, treated)]
    if quantiles is None:
        binary = _is_binary(each.histogram for arm in seen for each in arm.values())
        quantiles = () if binary else tuple(QUANTILES)
    statistics = (Statistic.MEAN, *quantiles)
    for arm, subject in zip(seen, ("control", "treatment"), strict=True):
        if not arm:
            return dict.fromkeys(statistics, NotEstimable(Cause.NO_EVENTS, subject))
    common = sorted(seen[0].keys() & seen[1].keys())
    tried = {phase: _phase_pairs(seen[0][phase], seen[1][phase], quantiles) for phase in common}
    return {
        statistic: _estimable({phase: found[statistic] for phase, found in tried.items()})
        for statistic in statistics
    }


def _aggregates(name: str, phases: Phases) -> dict[Phase, OutcomeAggregate]:
    return {phase: arm.outcomes[name] for phase, arm in phases.items() if name in arm.outcomes}


def _is_binary(histograms: Iterable[Histogram]) -> bool:
    """Tell whether there are at most two different values, as far as bins tell."""
    seen: set[int] = set()
    for each in histograms:
        seen.update(occupied_bins(each).tolist())
        if len(seen) > 2:
            return False
    return True


def _phase_pairs(
    control: OutcomeAggregate, treatment: OutcomeAggregate, quantiles: Sequence[Statistic]
) -> dict[Statistic, Pair | NotEstimable]:
    """Return the figures of both arms in one phase: the mean, and these quantiles."""
    mean = estimable_pair(mean_figure(control.cells), mean_figure(treatment.cells))
    exact = all(is_exact(each.histogram, each.cells) for each in (control, treatment))
    shares = [QUANTILES[each] for each in quantiles]
    arms = [quantile_figures(e.histogram, shares, exact=exact) for e in (control, treatment)]
    return {
        Statistic.MEAN: mean,
        **dict(zip(quantiles, map(estimable_pair, *arms), strict=True)),
    }


def _estimable(tried: Mapping[Phase, Pair | NotEstimable]) -> dict[Phase, Pair] | NotEstimable:
    """Return the phases that have figures, or why the last has none. tried: by rising phase."""
    pairs = {phase: pair for phase, pair in tried.items() if not isinstance(pair, NotEstimable)}
    if pairs:
        return pairs
    failures = [pair for pair in tried.values() if isinstance(pair, NotEstimable)]
    return failures[-1] if failures else NotEstimable(Cause.NO_COMMON_PHASE)


def _compare(
    statistic: Statistic, pairs: Mapping[Phase, Pair], units: Mapping[Phase, UnitsOfPair]
) -> tuple[Estimate | NotEstimable, EffectSize | NotEstimable]:
    estimate = compare(*combine_phases(list(pairs.values())))
    if isinstance(estimate, NotEstimable):
        return estimate, estimate
    if statistic is not Statistic.MEAN:
        return estimate, NotEstimable(Cause.NOT_ON_UNITS)
    arms = [
        (figure, counted)
        for phase, pair in pairs.items()
        for figure, counted in zip(pair, units[phase], strict=True)
    ]
    return estimate, effect_size(estimate.difference, arms)
