"""Two arms compared again and again: intervals and p-values that stay valid at every look.

An asymptotic confidence sequence covers the true effect at all looks at once with chance 1 - alpha,
whenever and however often one looks, and whatever makes one stop. It runs on information, not on
looks: with a part of the planned size there, the interval is the estimate ± as many standard errors
as `sequence_margins` says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from scipy.special import ndtr, stdtrit

from tidegate_server.analysis.effects import Effect, Interval, difference, log_ratio
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.looks import BURN_IN
from tidegate_server.analysis.phases import Pair, combine_phases
from tidegate_server.analysis.sequence_margins import (
    EARLY,
    Horizon,
    margin,
    one_sided_margin,
    sequence_p_value,
)
from tidegate_server.analysis.spread import PhaseFigures, steadied


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a sequence is tuned for. It is as valid at any other size, only wider.

    planned: effective size (`effective_size`) at which the interval is to be tightest, > 0.
    alpha: chance that the two-sided intervals ever exclude the truth, in (0, 0.5); a one-sided
        bound has this chance by itself.
    burn_in: units in the smaller arm, >= 0, below which nothing is said.
    horizon: whether it is decided by the planned size.

    Raises:
        ValueError: a number is out of range.
    """

    planned: float
    alpha: float = 0.05
    burn_in: float = BURN_IN
    horizon: Horizon = Horizon.PLANNED

    def __post_init__(self) -> None:
        if not 0.0 < self.planned < math.inf:
            raise ValueError(f"planned: must be a number of units > 0, not {self.planned}")
        if not 0.0 < self.alpha < 0.5:
            raise ValueError(f"alpha: must be in (0, 0.5), not {self.alpha}")
        if not 0.0 <= self.burn_in < math.inf:
            raise ValueError(f"burn_in: must be a number of units >= 0, not {self.burn_in}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look says of an effect, on one scale.

    interval: two-sided. lower, upper: one-sided bounds; each alone fails with chance alpha.
    p_value: two-sided, against no effect, in (0, 1]: at most alpha where the interval excludes 0,
        and only there.
    """

    interval: Interval
    lower: float
    upper: float
    p_value: float


@dataclass(frozen=True, slots=True)
class AlwaysValid:
    """One look at two arms.

    difference: treatment less control, in the outcome's unit.
    relative: the difference as a part of the control's magnitude, made on the scale of the ratio's
        logarithm: the reading to decide by, where there is one.
    information: the part of the planned size that is there, > 0; may exceed 1.
    """

    difference: Reading
    relative: Reading | NotEstimable
    information: float


def effective_size(control_units: float, treatment_units: float) -> float:
    """Return the units of an evenly split test that tells as much: 4 n_c n_t / (n_c + n_t).

    Both numbers >= 0. For even arms it is the total; with a 5 % canary it is a fifth of that.
    """
    total = control_units + treatment_units
    return 4 * control_units * (treatment_units / total) if total else 0.0


def for_harm(tuning: Tuning) -> Tuning:
    """Return the tuning of bounds on harm: it is to be seen long before the planned size.

    All of alpha goes into a sequence with an open end that is tightest at a fifth of that size.
    """
    return replace(tuning, planned=EARLY * tuning.planned, horizon=Horizon.OPEN)


def always_valid(phases: Sequence[PhaseFigures], tuning: Tuning) -> AlwaysValid | NotEstimable:
    """Compare two arms at one of any number of looks. At least one phase.

    Figures are steadied (`spread`) and compared within phases, and combined as by
    `combine_phases`. Assumes independent units, errors that respect clusters (`mean_figure`,
    `quantile_figure`), and enough units for a near normal estimate: hence the burn-in.

    The running intersection of all looks is not taken. It may become empty; and where the effect
    changes (a novelty that wears off) it goes on claiming what was true once. Who wants it asks
    `intersect`.

    Not estimable: before the burn-in is over, without variation, beyond floating point.
    """
    control_units = treatment_units = size = 0.0
    for phase in phases:
        control_units += phase.control_units
        treatment_units += phase.treatment_units
        size += effective_size(phase.control_units, phase.treatment_units)
    if min(control_units, treatment_units) < tuning.burn_in or size == 0.0:
        smaller = "control" if control_units <= treatment_units else "treatment"
        return NotEstimable(Cause.BURN_IN, smaller)
    information = size / tuning.planned
    absolute = _read(difference(*combined(phases, 0.0)), information, tuning)
    if isinstance(absolute, NotEstimable):
        return absolute
    control, treatment = combined(phases, 0.5)
    logarithm = _read(log_ratio(control, treatment), information, tuning)
    return AlwaysValid(absolute, _relative(logarithm, control.value), information)


def intersect(previous: Interval, current: Interval) -> Interval | NotEstimable:
    """Return what the intervals of two looks both allow: valid like each of them.

    Only for an effect that can't change in time; see `always_valid`.
    """
    lower, upper = max(previous.lower, current.lower), min(previous.upper, current.upper)
    return Interval(lower, upper) if lower <= upper else NotEstimable(Cause.DISJOINT)


def read(
    effect: Effect, fraction: float, alpha: float, horizon: Horizon = Horizon.PLANNED
) -> Reading | NotEstimable:
    """Return what an effect says with a part `fraction` > 0 of the planned size there.

    alpha: in (0, 0.5). Degrees of freedom enlarge the errors by what Student's t exceeds the normal
    distribution by at the tightest margin of an open end. Not estimable without variation or beyond
    floating point.
    """
    factor = _student_factor(effect.degrees, alpha)
    value, below, above = effect.value, factor * effect.below, factor * effect.above
    towards_zero = below if value > 0 else above
    if towards_zero == 0.0:
        return NotEstimable(Cause.ZERO_VARIANCE)
    two_sided, one_sided = _margins(fraction, alpha, horizon)
    interval = Interval(value - two_sided * below, value + two_sided * above)
    lower, upper = value - one_sided * below, value + one_sided * above
    if not all(map(math.isfinite, (interval.lower, interval.upper, lower, upper))):
        return NotEstimable(Cause.OVERFLOW)
    statistic = min(abs(value) / towards_zero, 1e100)
    p_value = sequence_p_value(statistic, fraction, alpha, horizon)
    return Reading(interval, lower, upper, p_value)


@lru_cache(maxsize=64)
def _margins(fraction: float, alpha: float, horizon: Horizon) -> tuple[float, float]:
    """Return the margins, two-sided and one-sided: the same for all metrics of a look."""
    return margin(fraction, alpha, horizon), one_sided_margin(fraction, alpha, horizon)


@lru_cache(maxsize=64)
def _tightest(alpha: float) -> tuple[float, float]:
    """Return the margin at the planned size, and the chance that a normal value lies above it."""
    tightest = margin(1.0, alpha, Horizon.OPEN)
    return tightest, float(ndtr(-tightest))


def _student_factor(degrees: float, alpha: float) -> float:
    tightest, chance = _tightest(alpha)
    return -float(stdtrit(degrees, chance)) / tightest


def _read(effect: Effect | NotEstimable, fraction: float, tuning: Tuning) -> Reading | NotEstimable:
    if isinstance(effect, NotEstimable):
        return effect
    return read(effect, fraction, tuning.alpha, tuning.horizon)


def _relative(logarithm: Reading | NotEstimable, control: float) -> Reading | NotEstimable:
    """Return the reading of a log-ratio as one of the difference divided by |control|."""
    if isinstance(logarithm, NotEstimable):
        return logarithm
    ends = logarithm.interval.lower, logarithm.interval.upper, logarithm.lower, logarithm.upper
    try:
        low, high, lower, upper = map(math.expm1, ends)
    except OverflowError:
        return NotEstimable(Cause.OVERFLOW)
    if control > 0:
        return Reading(Interval(low, high), lower, upper, logarithm.p_value)
    return Reading(Interval(-high, -low), -upper, -lower, logarithm.p_value)


def combined(phases: Sequence[PhaseFigures], power: float) -> Pair:
    """Return both arms over at least one phase, steadied as by `spread.steadied`."""
    return combine_phases([steadied(phase, power) for phase in phases])
