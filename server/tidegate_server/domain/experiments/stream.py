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
class Simulated:
    """One metric of a request under control.

    deviation: between requests, > 0. effect: relative change under the treatment, > -1.
    """

    mean: float
    deviation: float
    higher_is_better: bool
    effect: float = 0.0


@dataclass(frozen=True, slots=True)
class Stream:
    """What comes in: metrics by name, units a minute (> 0), requests of each, their correlation."""

    metrics: Mapping[MetricName, Simulated]
    units_per_minute: float
    requests_per_unit: float = 20.0
    icc: float = 0.3
    troubles: tuple[Trouble, ...] = ()
