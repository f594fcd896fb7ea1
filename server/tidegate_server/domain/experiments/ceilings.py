"""What ceilings read of the windows: the treatment's figures of the present attempt.

A limit counts as exceeded only by what chance hardly does. A window's events are few, and those of
one unit are alike: two broken clients among ten are 20 % of errors, and no breach. So a figure must
lie beyond the limit by more than its slack: CERTAIN standard errors, enlarged by the outcome's own
design effect; of a quantile as many ranks.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.means import design_effect_of
from tidegate_server.analysis.timeline import Pooled, pool
from tidegate_server.analysis.windows import (
    Resolution,
    Windows,
    empty_windows,
    merge_windows,
    since,
)
from tidegate_server.domain.events import Arm
from tidegate_server.domain.experiments.look import CeilingReading
from tidegate_server.domain.experiments.plan import Ceiling, Plan
from tidegate_server.domain.experiments.state import State
from tidegate_server.domain.metrics import QUANTILES, Statistic

WindowsRead: TypeAlias = Mapping[Resolution, Mapping[Arm, Windows]]
"""A flag's windows, by their length."""

LONG = timedelta(hours=1)
"""From this span on a ceiling reads windows of a minute: a day has 8,640 of ten seconds."""

CERTAIN = 2.0
"""Standard errors by which a figure must lie beyond the limit, in several looks."""

MOST_ALIKE = 10.0
"""The most that is made of a design effect: a window sees few of one unit's events, however often
it comes in the whole attempt. It is also what is taken where none can be computed."""

_MS = timedelta(milliseconds=1)


def counts(arm: Arm, state: State) -> bool:
    """Return whether an arm is of the present attempt, and of units that the split gave it."""
    return arm.phase >= state.first_phase and not arm.outside_split


def windows_wanted(plan: Plan, folded: datetime) -> dict[Resolution, int]:
    """Return from when on windows are needed, in ms since 1970, by their length.

    folded: up to when events have been folded, an aware time.
    """
    wanted: dict[Resolution, int] = {}
    for ceiling in plan.ceilings:
        resolution = _resolution(ceiling)
        start_ms = _start(ceiling, folded) * resolution.length_ms
        wanted[resolution] = min(start_ms, wanted.get(resolution, start_ms))
    return wanted


def ceiling_readings(
    plan: Plan,
    state: State,
    windows: WindowsRead,
    folded: datetime,
    arms: tuple[ArmAggregate, ArmAggregate],
) -> Iterator[CeilingReading]:
    """Yield the reading of each of the plan's ceilings, in order.

    arms: control and treatment over all that the attempt has seen, for the design effect.
    """
    merged = {
        resolution: _of_treatment(plan, state, windows.get(resolution, {}), resolution)
        for resolution in {_resolution(each) for each in plan.ceilings}
    }
    for ceiling in plan.ceilings:
        recent = since(merged[_resolution(ceiling)], _start(ceiling, folded))
        yield _reading(ceiling, recent, _alike(ceiling, arms))


def _of_treatment(
    plan: Plan, state: State, windows: Mapping[Arm, Windows], resolution: Resolution
) -> Windows:
    own = [
        each
        for arm, each in windows.items()
        if arm.variant == plan.treatment and counts(arm, state)
    ]
    return merge_windows(own) if own else empty_windows(resolution)


def _resolution(ceiling: Ceiling) -> Resolution:
    return Resolution.MINUTE if ceiling.window >= LONG else Resolution.TEN_SECONDS


def _start(ceiling: Ceiling, folded: datetime) -> int:
    """Return the first window that counts.

    Those that have ended, as many as the ceiling's span needs, and the one that is still open: so a
    breach is seen with its first events, and there is never less than the whole span, nor more than
    a window beyond it.
    """
    length = _resolution(ceiling).length_ms
    moment = (folded - datetime.fromtimestamp(0, UTC)) // _MS
    return moment // length + -(ceiling.window // _MS) // length


def _alike(ceiling: Ceiling, arms: tuple[ArmAggregate, ArmAggregate]) -> float:
    """Return the design effect of a ceiling's outcome, in [1, MOST_ALIKE]: the control's, if known.

    The control has most of the units, and a treatment that fails is no measure of itself.
    """
    for arm in arms:
        if ceiling.metric.outcome in arm.outcomes:
            found = design_effect_of(arm.outcomes[ceiling.metric.outcome].cells)
            if not isinstance(found, NotEstimable):
                return min(max(found, 1.0), MOST_ALIKE)
    return MOST_ALIKE


def _reading(ceiling: Ceiling, windows: Windows, alike: float) -> CeilingReading:
    statistic, outcome = ceiling.metric.statistic, ceiling.metric.outcome
    pooled = pool(windows, outcome)
    if isinstance(pooled, NotEstimable):
        return CeilingReading(pooled, 0)
    if statistic is Statistic.MEAN:
        return CeilingReading(pooled.mean, pooled.count, _slack(pooled, alike))
    share = QUANTILES[statistic]
    apart = CERTAIN * math.sqrt(share * (1 - share) * alike / pooled.count)
    safe = min(share + apart, 1 - 1e-9) if ceiling.floor else max(share - apart, 1e-9)
    both = pool(windows, outcome, (share, safe))
    if isinstance(both, NotEstimable):
        return CeilingReading(both, 0)
    value, bound = both.quantiles
    return CeilingReading(value, both.count, abs(value - bound))


def _slack(pooled: Pooled, alike: float) -> float:
    """Return the slack of a mean: CERTAIN standard errors of events that are so alike."""
    return CERTAIN * math.sqrt(pooled.m2 * alike) / pooled.count
