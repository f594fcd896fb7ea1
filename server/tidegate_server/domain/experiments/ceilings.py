"""What ceilings read of the windows: the treatment's figures of the present attempt."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.timeline import pool
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
    plan: Plan, state: State, windows: WindowsRead, folded: datetime
) -> Iterator[CeilingReading]:
    """Yield the reading of each of the plan's ceilings, in order."""
    merged = {
        resolution: _of_treatment(plan, state, windows.get(resolution, {}), resolution)
        for resolution in {_resolution(each) for each in plan.ceilings}
    }
    for ceiling in plan.ceilings:
        yield _reading(ceiling, since(merged[_resolution(ceiling)], _start(ceiling, folded)))


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


def _reading(ceiling: Ceiling, windows: Windows) -> CeilingReading:
    statistic = ceiling.metric.statistic
    shares = () if statistic is Statistic.MEAN else (QUANTILES[statistic],)
    pooled = pool(windows, ceiling.metric.outcome, shares)
    if isinstance(pooled, NotEstimable):
        return CeilingReading(pooled, 0)
    return CeilingReading(pooled.quantiles[0] if shares else pooled.mean, pooled.count)
