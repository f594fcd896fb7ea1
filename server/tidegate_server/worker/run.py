"""A run: consecutive entries of one shard, decoded and joined."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from tidegate_server.domain.events import Arm, Events, Offset, Series
from tidegate_server.errors import InvalidField
from tidegate_server.ports import Entry
from tidegate_server.wire import decode_batch

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one run takes in at most; a single entry is always taken.

    entries: read at a time. events, arms: in the run. All >= 1.
    """

    entries: int = 200
    events: int = 1_000_000
    arms: int = 200


@dataclass(frozen=True, slots=True)
class Run:
    """Entries up to `end`, that one included: their events, and those that could not be read."""

    end: Offset
    events: Events
    rejected: tuple[Entry, ...]


def decode_run(entries: Sequence[Entry], limits: Limits) -> Run:
    """Decode entries (at least one), in order, until a limit is reached.

    An entry that can't be read does not hold up the others: it is logged and set aside.
    """
    end = entries[0].offset
    parts: list[Events] = []
    rejected: list[Entry] = []
    count, arms = 0, set[Arm]()
    for entry in entries:
        try:
            _, events = decode_batch(entry.payload)
        except InvalidField as error:
            log.error(  # noqa: TRY400 - the input is to blame, its error says where
                "batch_set_aside", offset=entry.offset, size=len(entry.payload), error=str(error)
            )
            rejected.append(entry)
        else:
            count += len(events.value)
            arms |= arms_of(events)
            if parts and (count > limits.events or len(arms) > limits.arms):
                break
            parts.append(events)
        end = entry.offset
    return Run(end, join(parts), tuple(rejected))


def arms_of(events: Events) -> set[Arm]:
    """Return the arms that have events, or dropped ones."""
    used = np.flatnonzero(np.bincount(events.series_index, minlength=len(events.series)))
    return {events.series[index].arm for index in used} | events.dropped.keys()


def join(parts: Sequence[Events]) -> Events:
    """Return the events of all parts, in order, with one dictionary of series."""
    places: dict[Series, int] = {}
    indexes = [np.empty(0, np.int64)]
    dropped: dict[Arm, int] = {}
    for part in parts:
        own = np.array([places.setdefault(each, len(places)) for each in part.series], np.int64)
        indexes.append(own[part.series_index])
        for arm, count in part.dropped.items():
            dropped[arm] = dropped.get(arm, 0) + count
    return Events(
        series=tuple(places),
        series_index=np.concatenate(indexes),
        unit_hash=np.concatenate([np.empty(0, np.uint64), *(part.unit_hash for part in parts)]),
        time_ms=np.concatenate([np.empty(0, np.int64), *(part.time_ms for part in parts)]),
        value=np.concatenate([np.empty(0, np.float64), *(part.value for part in parts)]),
        dropped=dropped,
    )
