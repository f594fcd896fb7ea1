"""What a simulated experiment meets: traffic, effects and faults."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from tidegate_server.domain.experiments.plan import MetricName


class Fault(StrEnum):
    """What goes wrong for a time.

    OUTAGE: the evidence can't be read. SILENCE: no traffic. CONTROLLER_DOWN: nobody looks.
    LOST_UNITS: a tenth of the treatment's units are never heard of.
    """

    OUTAGE = "outage"
    SILENCE = "silence"
    CONTROLLER_DOWN = "controller down"
    LOST_UNITS = "lost units"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault in [start, start + duration) after the experiment's start."""

    fault: Fault
    start: timedelta
    duration: timedelta


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of a figure over requests. mean, deviation: > 0; skewness: 0 where symmetric."""

    mean: float
    deviation: float
    skewness: float = 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """One metric in both arms. icc: how much one unit's requests are alike, in [0, 1]."""

    control: Moments
    treatment: Moments
    higher_is_better: bool
    icc: float = 0.3


@dataclass(frozen=True, slots=True)
class Stream:
    """What comes in.

    metrics: by name. units_per_minute: > 0, in the mean. requests_per_unit: >= 1, in the mean;
    variation: their deviation as a part of it, >= 0. arrivals: of units, by interval of the plan,
    as parts of their mean; begun anew when they are over.
    """

    metrics: Mapping[MetricName, Simulated]
    units_per_minute: float
    requests_per_unit: float = 20.0
    variation: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    arrivals: tuple[float, ...] = (1.0,)

    def faults(self, passed: timedelta) -> frozenset[Fault]:
        """Return what is wrong at a time after the start."""
        return frozenset(
            each.fault
            for each in self.troubles
            if each.start <= passed < each.start + each.duration
        )
