"""Events into live aggregates: pure, by whole columns."""

from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import CELLS_PER_GROUP, ArmAggregate, OutcomeAggregate
from tidegate_server.analysis.histogram import histogram_of
from tidegate_server.analysis.merge import merge_arms
from tidegate_server.analysis.moments import cells_of
from tidegate_server.analysis.units import bitmap_of, cell_index, empty_bitmap
from tidegate_server.analysis.windows import Resolution, Windows, roll_up, windows_of
from tidegate_server.domain.events import Arm, Events, Series


def fold(events: Events, arms: Mapping[Arm, ArmAggregate]) -> dict[Arm, ArmAggregate]:
    """Return the new aggregates of the arms that `events` touch, and of those only.

    An arm that `arms` lacks starts empty. Nothing in `arms` is changed: whoever fails to commit
    the result still holds what it started from.
    """
    touched = aggregate(events)
    return {
        arm: merge_arms(arms[arm], added) if arm in arms else added
        for arm, added in touched.items()
    }


def aggregate(events: Events) -> dict[Arm, ArmAggregate]:
    """Return the aggregates of these events alone.

    Every event marks its unit and its time, exposure or not; exposures are counted.
    """
    arms = {
        arm: _arm_of(events, list(parts), events.dropped.get(arm, 0))
        for arm, parts in groupby(_parts(events), key=lambda part: part[0].arm)
    }
    for arm in events.dropped.keys() - arms.keys():
        arms[arm] = _arm_of(events, [], events.dropped[arm])
    return arms


def fold_windows(events: Events) -> dict[tuple[Arm, Resolution], Windows]:
    """Return the windows of these events alone, by each event's own time."""
    made = {}
    for arm, parts in groupby(_parts(events), key=lambda part: part[0].arm):
        series, positions = zip(*parts, strict=True)
        outcome = np.repeat(np.arange(len(series)), [each.size for each in positions])
        chosen = np.concatenate(positions)
        windows = windows_of(
            tuple(each.outcome for each in series),
            outcome,
            events.time_ms[chosen],
            events.value[chosen],
        )
        for resolution in Resolution:  # from the shortest to the longest
            windows = roll_up(windows, resolution)
            made[arm, resolution] = windows
    return made


_Part = tuple[Series, NDArray[np.intp]]


def _parts(events: Events) -> Iterator[_Part]:
    """Yield each series that has events, and their positions, ordered by arm and outcome.

    `events.series` may name one series twice, as joined batches do.
    """
    series = sorted(set(events.series), key=lambda each: (each.arm, each.outcome))
    place = {each: i for i, each in enumerate(series)}
    narrow = np.uint16 if len(series) <= 1 << 16 else np.int64  # 16 bits are sorted by radix
    code = np.array([place[each] for each in events.series], narrow)[events.series_index]
    order = np.argsort(code, kind="stable")
    ends = np.bincount(code, minlength=len(series)).cumsum()
    for each, start, end in zip(series, np.append(0, ends), ends, strict=False):
        if end > start:
            yield each, order[start:end]


def _arm_of(events: Events, parts: list[_Part], dropped: int) -> ArmAggregate:
    """Return the aggregate of one arm's events, given by series."""
    if not parts:
        return ArmAggregate(empty_bitmap(), 0, dropped, 0, 0, {})
    positions = np.concatenate([each for _, each in parts])
    times = events.time_ms[positions]
    return ArmAggregate(
        units=bitmap_of(events.unit_hash[positions]),
        exposures=sum(len(each) for series, each in parts if not series.outcome),
        dropped=dropped,
        first_ms=int(times.min()),
        last_ms=int(times.max()),
        outcomes={
            series.outcome: _outcome_of(events, each) for series, each in parts if series.outcome
        },
    )


def _outcome_of(events: Events, positions: NDArray[np.intp]) -> OutcomeAggregate:
    """Return the aggregate of the events at `positions`, all of one outcome."""
    cell = cell_index(events.unit_hash[positions])
    values = events.value[positions]
    return OutcomeAggregate(cells_of(cell, values), histogram_of(cell // CELLS_PER_GROUP, values))
