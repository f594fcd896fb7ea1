"""Group-sequential tests: a few planned looks, more power than a test that is always valid.

The statistic Z of a look is an estimate in standard errors. With information t, as a part of the
plan, Z sqrt(t) is a Brownian motion with drift, which estimates from growing amounts of data
approach (Jennison and Turnbull 2000, "Group Sequential Methods with Applications to Clinical
Trials", §3.1; chapters and tables cited below are theirs).
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from tidegate_server.analysis.effects import Effect, Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.recursion import START, Running
from tidegate_server.analysis.spending import Spending, obrien_fleming

LIMIT = 8.0
"""The highest boundary, of a chance of 6e-16: a look that may spend less has this one."""

_LEAST_STEP = 1e-3


@dataclass(frozen=True, slots=True)
class Boundaries:
    """When to stop, look by look; all of one length.

    fractions: information as a part of the plan, rising, > 0; the last may exceed 1.
    critical: stop where Z >= critical; |Z| >= critical if two_sided. At most LIMIT.
    spent: chance of having stopped by then without an effect, both sides together, rising.
    """

    fractions: tuple[float, ...]
    critical: tuple[float, ...]
    spent: tuple[float, ...]
    two_sided: bool

    @property
    def nominal(self) -> tuple[float, ...]:
        """The p-values, in a test of one look, of statistics that just reach the boundaries."""
        return tuple((1 + self.two_sided) * float(ndtr(-z)) for z in self.critical)


def boundaries(
    information: Sequence[float],
    planned: float,
    *,
    alpha: float = 0.05,
    spending: Spending = obrien_fleming,
    two_sided: bool = True,
    last: bool = False,
) -> Boundaries | NotEstimable:
    """Return the boundaries of the looks so far; those of earlier looks never change.

    information: of each look, rising, > 0: effective units, or 1 / (standard error)². planned: that
    of the last planned look, in the same unit, > 0. alpha: in (0, 1), of both sides together.
    last: whether no look will follow, so that all of alpha is spent on this one.

    Looks may come at any time, as long as it is not the data that call for them (Lan and DeMets
    1983). Where information overruns the plan, that look spends all that is left, and correlations
    follow the true information (Proschan, Lan, Wittes 2006, "Statistical Monitoring of Clinical
    Trials", ch. 5). Where it falls short, say `last`.

    Not estimable: a look that brings less than a thousandth of the plan, or that comes after all of
    alpha is spent.

    Raises:
        ValueError: no looks, alpha or the plan out of range.
    """
    if not information:
        raise ValueError("information: must have at least one look")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha: must be in (0, 1), not {alpha}")
    if not 0.0 < planned < math.inf:
        raise ValueError(f"planned: must be a number > 0, not {planned}")
    fractions = tuple(each / planned for each in information)
    if any(fraction >= 1.0 for fraction in fractions[:-1]):
        return NotEstimable(Cause.ALPHA_SPENT)
    if not all(_LEAST_STEP <= step < math.inf for step in _steps(fractions)):
        return NotEstimable(Cause.NO_NEW_INFORMATION)
    sides = 1 + two_sided
    spent = [spending(min(fraction, 1.0), alpha / sides) for fraction in fractions]
    if last:
        spent[-1] = alpha / sides
    critical = _solve(fractions, spent, two_sided=two_sided)
    return Boundaries(fractions, critical, tuple(sides * each for each in spent), two_sided)


def crossing(plan: Boundaries, drift: float) -> tuple[float, ...]:
    """Return the chance of having stopped by each look, on either side, rising.

    drift: the mean of Z at the planned information, effect / (standard error then). At 0 this is
    `spent`; with an effect the last is the power. Source: ch. 19.
    """
    stopped, chances = 0.0, []
    running, steps = START, _steps(plan.fractions)
    for look, step in enumerate(steps):
        if look > 0:
            bounds = _region(plan, look - 1, drift)
            running = running.between(bounds, steps[look - 1], drift, step)
        low, high = _region(plan, look, drift)
        stopped += running.above(high, step, drift)
        stopped += running.below(low, step, drift) if plan.two_sided else 0.0
        chances.append(stopped)
    return tuple(chances)


def drift_for(plan: Boundaries, power: float) -> float:
    """Return the drift at which the plan stops with chance `power`, above alpha and below 1.

    Raises:
        ValueError: the power is out of range.
    """
    if not plan.spent[-1] < power < 1.0:
        raise ValueError(f"power: must be above alpha and below 1, not {power}")

    def excess(drift: float) -> float:
        return crossing(plan, drift)[-1] - power

    reach = (LIMIT - float(ndtri(1 - power))) / math.sqrt(plan.fractions[-1])
    return float(brentq(excess, 0.0, reach, xtol=1e-9))


def inflation(plan: Boundaries, power: float) -> float:
    """Return by what factor the plan's information exceeds that of one look of the same power.

    The maximum, which is reached where no look stops early. power: above alpha and below 1.
    Source: the factors R of Tables 2.2 and 2.4.
    """
    alpha = plan.spent[-1] / (1 + plan.two_sided)
    return (drift_for(plan, power) / float(ndtri(power) - ndtri(alpha))) ** 2


def stagewise_p_value(plan: Boundaries, statistic: float) -> float:
    """Return the p-value, in (0, 1], of a test that ended at the plan's last look with Z.

    The chance without an effect of stopping earlier, or of reaching that look with a Z as extreme:
    at most alpha where Z is beyond the boundary, and only there. The plan must hold the looks taken
    and no others. Source: §8.4 (stage-wise ordering; Tsiatis, Rosner, Mehta 1984).
    """
    end = abs(statistic) if plan.two_sided else statistic
    critical = (*plan.critical[:-1], end)
    ended = Boundaries(plan.fractions, critical, plan.spent, plan.two_sided)
    return min(max(crossing(ended, 0.0)[-1], sys.float_info.min), 1.0)


def repeated_interval(plan: Boundaries, effect: Effect) -> Interval:
    """Return the interval at the plan's last look that covers, with those of all its looks.

    effect: with errors in which `plan.critical` counts; Student's t is allowed for by equal tails.
    All looks' intervals cover with chance 1 - alpha, whether or not the test stops (ch. 9); in a
    one-sided plan each end is a bound by itself.
    """
    tail = float(ndtr(-plan.critical[-1]))
    reach = -float(stdtrit(effect.degrees, tail))
    return Interval(effect.value - reach * effect.below, effect.value + reach * effect.above)


def _solve(
    fractions: Sequence[float], spent: Sequence[float], *, two_sided: bool
) -> tuple[float, ...]:
    critical: list[float] = []
    running, steps, before = START, _steps(fractions), 0.0
    for look, step in enumerate(steps):
        if look > 0:
            scale, z = math.sqrt(fractions[look - 1]), critical[-1]
            bounds = ((-z if two_sided else -LIMIT) * scale, z * scale)
            running = running.between(bounds, steps[look - 1], 0.0, step)
        critical.append(_critical(running, step, math.sqrt(fractions[look]), spent[look] - before))
        before = spent[look]
    return tuple(critical)


def _critical(running: Running, step: float, scale: float, chance: float) -> float:
    def excess(z: float) -> float:
        return running.above(z * scale, step, 0.0) - chance

    return LIMIT if excess(LIMIT) >= 0.0 else float(brentq(excess, -LIMIT, LIMIT, xtol=1e-10))


def _region(plan: Boundaries, look: int, drift: float) -> tuple[float, float]:
    """Return the ends between which a run goes on, on the scale of Z sqrt(t)."""
    scale, z = math.sqrt(plan.fractions[look]), plan.critical[look]
    low = -z if plan.two_sided else min(-LIMIT, z, drift * scale) - LIMIT
    return low * scale, z * scale


def _steps(fractions: Sequence[float]) -> list[float]:
    return [after - before for before, after in zip((0.0, *fractions[:-1]), fractions, strict=True)]
