"""Whether the data of a report can be trusted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tidegate.model import Flag, Phase, VariantKey
from tidegate_server.analysis.crossover import Crossover, crossover
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.quality import Quality, crossed, judge_quality
from tidegate_server.analysis.sample_ratio import SampleRatio, sample_ratio
from tidegate_server.analysis.telemetry import Telemetry, lost_events
from tidegate_server.analysis.units import UnitCount, count_units
from tidegate_server.domain.comparisons import Phases, at_least, events_of, units_of

NO_UNITS = UnitCount(0.0, 0.0)
NO_PAIR = NotEstimable(Cause.NO_COMMON_PHASE)


@dataclass(frozen=True, slots=True)
class CrossedUnits:
    """Units that were seen in control and treatment of one phase: certainly so, and not few."""

    phase: Phase
    control: VariantKey
    treatment: VariantKey
    crossover: Crossover


@dataclass(frozen=True, slots=True)
class ReportQuality:
    """The checks of a report's data.

    sample_ratio: of the present phase. quality: what puts the comparisons in doubt.
    """

    sample_ratio: SampleRatio | NotEstimable
    crossovers: tuple[CrossedUnits, ...]
    quality: Quality

    @property
    def faults(self) -> tuple[str, ...]:
        """What puts the comparisons in doubt, in words."""
        return tuple(each for each in (self.quality.mismatch, *self.quality.others) if each)


def quality_of(
    flag: Flag,
    control: VariantKey,
    treatments: Sequence[VariantKey],
    data: Mapping[VariantKey, Phases],
) -> ReportQuality:
    """Check the data of a report. data: by variant, of units that the split gave it."""
    ratio = _sample_ratio(flag, data)
    loss = lost_events({variant: _telemetry(data[variant]) for variant in (control, *treatments)})
    judged = [judge_quality(ratio, NO_PAIR, 0.0, loss)]
    crossed_units = []
    for treatment in treatments:
        for phase, found, smaller in _crossovers(data[control], data[treatment]):
            judged.append(judge_quality(ratio, found, smaller, loss))
            if isinstance(found, Crossover) and crossed(found, smaller):
                crossed_units.append(CrossedUnits(phase, control, treatment, found))
    others = tuple(dict.fromkeys(fault for each in judged for fault in each.others))
    return ReportQuality(ratio, tuple(crossed_units), Quality(judged[0].mismatch, others))


def _sample_ratio(flag: Flag, data: Mapping[VariantKey, Phases]) -> SampleRatio | NotEstimable:
    """Check the present phase: the splits of earlier ones are not known any more."""
    shares = {share.variant: share.ppm for share in flag.split}
    counts = []
    for phases in data.values():
        counted = count_units(phases[flag.phase].units) if flag.phase in phases else NO_UNITS
        if isinstance(counted, NotEstimable):
            return counted
        counts.append(counted)
    weights = [shares.get(variant, 0) for variant in data]
    return sample_ratio(counts, weights) if any(weights) else NotEstimable(Cause.NO_UNITS)


def _crossovers(
    control: Phases, treated: Phases
) -> Iterator[tuple[Phase, Crossover | NotEstimable, float]]:
    """Yield, by phase, the units in both arms, and the units of the smaller arm."""
    for phase in sorted(control.keys() & treated.keys()):
        arms = control[phase], treated[phase]
        found = crossover(arms[0].units, arms[1].units)
        yield phase, found, min(at_least(units_of(arm)) for arm in arms)


def _telemetry(phases: Phases) -> Telemetry:
    return Telemetry(
        recorded=sum(events_of(arm) for arm in phases.values()),
        dropped=sum(arm.dropped for arm in phases.values()),
    )
