"""What stands in for a figure that can't be computed: never NaN, infinity or a made-up value."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why a figure can't be computed, in words for the reader of a report."""

    NO_EVENTS = "no events"
    TOO_FEW_EVENTS = "fewer than two events"
    TOO_FEW_CELLS = "too few units: fewer than two cells have events"
    TAIL_TOO_SMALL = "too few events beyond the quantile for an interval"
    ZERO_VARIANCE = "the data show no variation to judge a difference by"
    ZERO_CONTROL = "the control's figure is 0"
    NOT_POSITIVE = "a ratio needs figures of one sign, other than 0"
    NOTHING_OCCURRED = "it occurred in neither arm: no ratio; a guardrail with max needs none"
    SATURATED = "more units than the bitmap can count"
    TOO_FEW_UNITS = "fewer than two units"
    NO_COMMON_PHASE = "control and treatment have no phase in common"
    ONE_PHASE = "fewer than two phases"
    TOO_FEW_DAYS = "fewer than two days with a figure"
    NO_DURATION = "first and last event are at the same moment"
    NOT_ON_UNITS = "units are not the scale of a quantile"
    NEEDS_UNITS = "live aggregates do not keep what each unit did"
    NEEDS_EVENTS = "sums per unit do not keep single events"
    CAP_TOO_LATE = "a cap must be applied before events are summed"
    BURN_IN = "too few units in the smaller arm for figures that are looked at repeatedly"
    DISJOINT = "intervals of different looks exclude each other: the effect has changed"
    NO_UNITS = "no units"
    ONE_ARM = "only one arm has a share: there is no split to check"
    NO_TRIALS = "no trials"
    NO_SUCCESSES = "a ratio of rates needs successes in the control"
    TOO_FEW_VALUES = "too few values for an interval of the quantile"
    NO_NEW_INFORMATION = "a look must bring at least a thousandth of the planned information"
    ALPHA_SPENT = "an earlier look reached the planned information and spent all of alpha"
    NO_DIRECTION = "it is not known which way the metric is better"
    OVERFLOW = "the values are too large for floating point"


@dataclass(frozen=True, slots=True)
class NotEstimable:
    """A figure that can't be computed.

    cause: why. subject: what it concerns ("control", "treatment"), or empty.
    """

    cause: Cause
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.cause}" if self.subject else str(self.cause)

    def about(self, subject: str) -> "NotEstimable":
        """Return the same, said of `subject`."""
        return NotEstimable(self.cause, subject)
