"""What a look finds in the live aggregates: the figures of a report, of the present attempt.

Only phases from `State.first_phase` on count, and of them only units that the split gave their
variant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, reduce

from tidegate.model import Direction, Flag, Phase, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.confidence_sequence import Tuning, effective_size, for_harm
from tidegate_server.analysis.decision import Evidence, MetricEvidence
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.evidence import Source, sequence_source
from tidegate_server.analysis.merge import merge_arms
from tidegate_server.analysis.phases import Pair, combine_phases
from tidegate_server.analysis.quality import Quality
from tidegate_server.analysis.sample_ratio import SampleRatio
from tidegate_server.domain.comparisons import (
    Phases,
    UnitsOfPair,
    at_least,
    detectable_of,
    figures_of,
    pairs_of,
    units_of,
    units_of_pairs,
)
from tidegate_server.domain.events import Arm
from tidegate_server.domain.experiments.ceilings import WindowsRead, ceiling_readings, counts
from tidegate_server.domain.experiments.judged import JudgedMetric, judged_metrics, tuning_of
from tidegate_server.domain.experiments.look import Findings
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.rare import (
    occurred_nowhere,
    settled_by_ceiling,
    treated_at_least,
)
from tidegate_server.domain.experiments.state import State
from tidegate_server.domain.metrics import Statistic, direction_of
from tidegate_server.domain.report_quality import quality_of


def findings(
    plan: Plan,
    state: State,
    flag: Flag,
    arms: Mapping[Arm, ArmAggregate],
    windows: WindowsRead,
    folded: datetime,
) -> Findings:
    """Return what a look finds.

    arms: the flag's live aggregates; earlier phases may be left out. windows: at least those that
    `windows_wanted` names. folded: up to when events have been folded, an aware time: the present
    moment less the worker's lag.
    """
    data = _by_variant(plan, state, arms)
    control, treated = data[plan.control], data[plan.treatment]
    checked = quality_of(flag, plan.control, [plan.treatment], data)
    shares = {share.variant: share.ppm for share in flag.split}
    exposed = [each for each in (plan.control, plan.treatment) if shares.get(each)]
    present = [data[variant].get(flag.phase) for variant in exposed]
    ratio = checked.sample_ratio
    return Findings(
        evidence=_evidence(plan, flag, control, treated, checked.quality),
        ceilings=tuple(
            ceiling_readings(plan, state, windows, folded, (_pooled(control), _pooled(treated)))
        ),
        stage_units=_least_units(present),
        newest=_newest(present),
        absent=tuple(_absent(plan, data, exposed)),
        sample_ratio_p=ratio.p_value if isinstance(ratio, SampleRatio) else 1.0,
    )


def _pooled(phases: Phases) -> ArmAggregate:
    return reduce(merge_arms, phases.values(), ArmAggregate.empty())


def _by_variant(
    plan: Plan, state: State, arms: Mapping[Arm, ArmAggregate]
) -> Mapping[VariantKey, Phases]:
    """Return the attempt's aggregates: control, treatment, and whatever else there is."""
    data: dict[VariantKey, dict[Phase, ArmAggregate]] = {plan.control: {}, plan.treatment: {}}
    for arm, aggregate in arms.items():
        if counts(arm, state):
            data.setdefault(arm.variant, {})[arm.phase] = aggregate
    return data


def _evidence(
    plan: Plan, flag: Flag, control: Phases, treated: Phases, quality: Quality
) -> Evidence:
    """Return the comparisons over all phases that both arms have units in."""
    tuning = tuning_of(plan)
    units = units_of_pairs(control, treated)
    counted = [(at_least(one), at_least(other)) for one, other in units.values()]
    both = [each for each in counted if min(each) > 0]
    metrics = []
    for judged in judged_metrics(plan):
        name = judged.name
        quantiles = () if name.statistic is Statistic.MEAN else (name.statistic,)
        pairs = pairs_of(name.outcome, control, treated, quantiles)[name.statistic]
        metric = _metric(judged, flag, pairs, units, tuning)
        if not isinstance(pairs, NotEstimable) and occurred_nowhere(pairs.values()):
            settled = settled_by_ceiling(plan, judged, treated_at_least(pairs, units))
            metric = replace(
                metric, bounds=_unknown(NotEstimable(Cause.NOTHING_OCCURRED)), settled=settled
            )
        metrics.append(metric)
    return Evidence(
        metrics=tuple(metrics),
        units=min(sum(each) for each in zip(*both, strict=True)) if both else 0.0,
        information=sum(effective_size(*each) for each in both) / tuning.planned,
        quality=quality,
    )


def _metric(
    judged: JudgedMetric,
    flag: Flag,
    pairs: Mapping[Phase, Pair] | NotEstimable,
    units: Mapping[Phase, UnitsOfPair],
    tuning: Tuning,
) -> MetricEvidence:
    direction = direction_of(judged.name.outcome, flag.metrics)
    estimate: Estimate | NotEstimable
    harm: Source | None
    if isinstance(pairs, NotEstimable):
        estimate, bounds, harm = pairs, _unknown(pairs), None
    else:
        estimate = compare(*combine_phases(list(pairs.values())))
        figures = figures_of(pairs, units)
        bounds = cache(sequence_source(figures, tuning))
        harm = cache(sequence_source(figures, for_harm(tuning)))
    if direction is Direction.UNKNOWN:
        bounds, harm = _unknown(NotEstimable(Cause.NO_DIRECTION)), None
    return MetricEvidence(
        name=str(judged.name),
        role=judged.role,
        higher_is_better=direction is Direction.HIGHER,
        bounds=bounds,
        point=estimate if isinstance(estimate, NotEstimable) else estimate.relative_difference,
        tolerance=judged.tolerance,
        detectable=detectable_of(estimate),
        harm=harm,
    )


def _unknown(cause: NotEstimable) -> Source:
    return lambda _: cause


def _least_units(present: Sequence[ArmAggregate | None]) -> float:
    return min((at_least(units_of(each)) if each else 0.0 for each in present), default=0.0)


def _newest(present: Sequence[ArmAggregate | None]) -> datetime | None:
    """Return when the arm that has been silent for longest was last heard of, in this phase."""
    last = min((each.last_ms if each else 0 for each in present), default=0)
    return datetime.fromtimestamp(last / 1000, UTC) if last else None


def _absent(
    plan: Plan, data: Mapping[VariantKey, Phases], exposed: Iterable[VariantKey]
) -> Iterator[str]:
    """Yield the metrics of which an arm has no event; a ceiling's concerns the treatment alone."""
    compared = {each.name for each in judged_metrics(plan)}
    for metric in plan.metrics():
        for variant in exposed:
            needed = metric in compared or variant == plan.treatment
            if needed and not any(metric.outcome in arm.outcomes for arm in data[variant].values()):
                yield str(metric)
                break
