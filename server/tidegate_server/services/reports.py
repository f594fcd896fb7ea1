"""Reports: what the live aggregates say about a flag's variants.

Units that something other than the split gave a variant were not randomised: their events are
counted apart, and are in no figure. Descriptive figures (count, mean, quantiles …) are those of all
other events of the report's phases.
Comparisons (`domain.comparisons`) are made within each phase and then combined, so over several
phases a comparison's control and treatment are weighted means of the phases' figures, and differ
from the descriptive ones where the split has changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from tidegate.model import Direction, Flag, FlagKey, Phase, Revision, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate, OutcomeAggregate
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.histogram import quantiles
from tidegate_server.analysis.merge import merge_arms
from tidegate_server.analysis.moments import sample_deviation
from tidegate_server.domain.comparisons import (
    Comparison,
    Phases,
    comparisons,
    events_of,
    units_of,
)
from tidegate_server.domain.events import Arm
from tidegate_server.domain.metrics import QUANTILES, direction_of
from tidegate_server.domain.report_quality import ReportQuality, quality_of
from tidegate_server.errors import InvalidField
from tidegate_server.ports import AggregateStore


@dataclass(frozen=True, slots=True)
class OutcomeSummary:
    """One outcome under one variant; fields and units as in report_service.proto."""

    outcome: str
    count: int
    sum: float
    mean: float
    standard_deviation: float | NotEstimable
    p50: float
    p90: float
    p95: float
    p99: float
    rate_per_second: float | NotEstimable
    direction: Direction


@dataclass(frozen=True, slots=True)
class VariantReport:
    """One variant, over the phases of the report; fields and units as in report_service.proto."""

    variant: VariantKey
    share_ppm: int
    units: float | NotEstimable
    exposures: int
    dropped_events: int
    outcomes: tuple[OutcomeSummary, ...]
    outside_split_events: int


@dataclass(frozen=True, slots=True)
class Report:
    """What is known about a flag's variants.

    variants: those with a share or with data, control first. phases: those with data, rising.
    """

    flag_key: FlagKey
    revision: Revision
    current_phase: Phase
    control: VariantKey
    variants: tuple[VariantReport, ...]
    comparisons: tuple[Comparison, ...]
    quality: ReportQuality
    phases: tuple[Phase, ...]
    create_time: datetime


class Reports:
    """Makes reports from the live aggregates."""

    def __init__(self, aggregates: AggregateStore) -> None:
        self._aggregates = aggregates

    async def report(
        self, flag: Flag, *, control: str = "", phase: int = 0, now: datetime
    ) -> Report:
        """Return the report of `flag` as of `now`; see `build_report`.

        Raises:
            InvalidField: `control` or `phase` is not one of the known ones.
            StoreUnavailable: the aggregates can't be read.
        """
        arms = await self._aggregates.read(flag.key)
        return build_report(flag, arms, control, phase, now)


def build_report(
    flag: Flag, arms: Mapping[Arm, ArmAggregate], control: str, phase: int, now: datetime
) -> Report:
    """Return the report of `flag`.

    arms: all arms of the flag. control: key of the variant to compare with; empty: the flag's
    default. phase: only this one; 0: all, combined.

    Raises:
        InvalidField: `control` names no variant, or `phase` has no data.
    """
    baseline = VariantKey(control or flag.default)
    known = list(dict.fromkeys([v.key for v in flag.variants] + sorted({a.variant for a in arms})))
    if baseline not in known:
        raise InvalidField(
            "control", f"flag {flag.key!r} has no variant {control!r}: choose {_one_of(known)}"
        )
    inside = {arm: data for arm, data in arms.items() if not arm.outside_split}
    phases = sorted({arm.phase for arm, data in inside.items() if data.exposures or data.outcomes})
    if phase and phase not in phases:
        raise InvalidField(
            "phase", f"there is no data of phase {phase}: choose {_one_of([*phases, 0])} (0: all)"
        )
    data = {variant: _phases_of(variant, arms, phase) for variant in known}
    split = {share.variant for share in flag.split if share.ppm}
    treatments = [v for v in known if v != baseline and (data[v] or v in split)]
    return Report(
        flag_key=flag.key,
        revision=flag.revision,
        current_phase=flag.phase,
        control=baseline,
        variants=tuple(variant_report(flag, v, arms, phase) for v in (baseline, *treatments)),
        comparisons=tuple(
            each
            for v in treatments
            for each in comparisons(v, data[baseline], data[v], flag.metrics)
        ),
        quality=quality_of(flag, baseline, treatments, data),
        phases=tuple(phases),
        create_time=now,
    )


def variant_report(
    flag: Flag, variant: VariantKey, arms: Mapping[Arm, ArmAggregate], phase: int
) -> VariantReport:
    """Return what a report says of one variant by itself; zeros where there is no data.

    arms, phase: as of `build_report`.
    """
    phases = _phases_of(variant, arms, phase)
    outside = _phases_of(variant, arms, phase, outside_split=True)
    pooled = reduce(merge_arms, phases.values(), ArmAggregate.empty())
    seconds = sum(each.last_ms - each.first_ms for each in phases.values()) / 1000
    return VariantReport(
        variant=variant,
        share_ppm=sum(share.ppm for share in flag.split if share.variant == variant),
        units=units_of(pooled),
        exposures=pooled.exposures,
        dropped_events=pooled.dropped,
        outcomes=tuple(
            _summary(name, outcome, seconds, direction_of(name, flag.metrics))
            for name, outcome in sorted(pooled.outcomes.items())
        ),
        outside_split_events=sum(map(events_of, outside.values())),
    )


def _one_of(choices: Sequence[object]) -> str:
    return "one of " + ", ".join(map(str, choices)) if len(choices) > 1 else str(choices[0])


def _phases_of(
    variant: VariantKey,
    arms: Mapping[Arm, ArmAggregate],
    phase: int,
    *,
    outside_split: bool = False,
) -> Phases:
    return {
        arm.phase: data
        for arm, data in sorted(arms.items(), key=lambda item: item[0])
        if (arm.variant, arm.outside_split) == (variant, outside_split) and phase in (0, arm.phase)
    }


def _summary(
    name: str, outcome: OutcomeAggregate, seconds: float, direction: Direction
) -> OutcomeSummary:
    cells = outcome.cells
    count, total = int(cells.count.sum()), float(cells.total.sum())
    p50, p90, p95, p99 = quantiles(outcome.histogram, cells, tuple(QUANTILES.values()))
    return OutcomeSummary(
        outcome=name,
        count=count,
        sum=total,
        mean=total / count,
        standard_deviation=sample_deviation(cells),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        rate_per_second=count / seconds if seconds else NotEstimable(Cause.NO_DURATION),
        direction=direction,
    )
