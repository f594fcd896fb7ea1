"""A run: consecutive entries of one shard, decoded and joined."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from tidegate_server.domain.events import Arm, Events, Offset, Series
from tidegate_server.errors import InvalidField
from tidegate_server.ports import Entry, Rejected, arrival_ms, entry_bytes
from tidegate_server.wire.batch import decode_batch
from tidegate_server.worker.skew import TOLERANCE_MS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one run takes in at most; a single entry is always taken.

    entries: read at a time. events, arms, series: in the run. windows: of series and ten seconds in
    the run, about. All >= 1.
    linger: seconds between two runs of one shard while fewer entries than that have come; >= 0.
    Runs then write less, and figures are as much older.
    """

    entries: int = 200
    events: int = 1_000_000
    arms: int = 200
    series: int = 1_000
    windows: int = 50_000
    linger: float = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """Entries up to `end`, that one included: their events, and those that could not be read.

    entries: how many, >= 1. size: bytes that the entries take in the store.
    events: none is later than the arrival of its entry.
    early: how many came more than TOLERANCE_MS before their time, and were moved to their arrival;
    earliest_ms: by how much at the most.
    """

    end: Offset
    entries: int
    size: int
    events: Events
    rejected: tuple[Rejected, ...]
    early: int
    earliest_ms: int


def decode_run(
    entries: Sequence[Entry], limits: Limits, probe: Callable[[Events], object] | None = None
) -> Run:
    """Decode entries (at least one), in order, until a limit is reached.

    An entry that can't be read does not hold up the others: it is logged and set aside. With
    `probe` so is one whose events make it raise.
    """
    end, count, size = entries[0].offset, 0, 0
    parts: list[Events] = []
    rejected: list[Rejected] = []
    taken = _Taken(limits)
    early, earliest_ms = 0, 0
    for entry in entries:
        events = _decode(entry, probe)
        if isinstance(events, Rejected):
            rejected.append(events)
        else:
            if not taken.take(events):
                break
            ahead = events.time_ms - arrival_ms(entry.offset)
            early += int(np.count_nonzero(ahead > TOLERANCE_MS))
            earliest_ms = max(earliest_ms, int(ahead.max(initial=0)))
            parts.append(replace(events, time_ms=events.time_ms - np.maximum(ahead, 0)))
        end = entry.offset
        count += 1
        size += entry_bytes(entry.payload)
    return Run(end, count, size, join(parts), tuple(rejected), early, earliest_ms)


def _decode(entry: Entry, probe: Callable[[Events], object] | None) -> Events | Rejected:
    try:
        _, events = decode_batch(entry.payload)
        if probe is not None:
            probe(events)
    except InvalidField as error:
        return _set_aside(entry, str(error))
    except Exception as error:
        if probe is None:
            raise
        return _set_aside(entry, f"{type(error).__name__}: {error}", cause=error)
    return events


def _set_aside(entry: Entry, reason: str, cause: Exception | None = None) -> Rejected:
    log.error(
        "batch_set_aside",
        request_id=entry.payload[2:18].hex(),  # of a batch by our SDK, which begins with its id
        offset=entry.offset,
        size=len(entry.payload),
        error=reason,
        exc_info=cause,
    )
    return Rejected(entry, reason)


class _Taken:
    """What a run has taken in."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._events = 0
        self._windows = 0
        self._arms: set[Arm] = set()
        self._series: set[Series] = set()

    def take(self, events: Events) -> bool:
        """Take these events too, unless that is too much; the first are always taken."""
        first = not (self._events or self._arms)
        series = series_of(events)
        self._events += len(events.value)
        self._arms |= arms_of(events)
        self._series |= series
        if len(events.value):
            span = int(events.time_ms.max() - events.time_ms.min()) // 10_000 + 2
            self._windows += min(len(events.value), len(series) * span)
        limits = self._limits
        return first or not (
            self._events > limits.events
            or self._windows > limits.windows
            or len(self._arms) > limits.arms
            or len(self._series) > limits.series
        )


def series_of(events: Events) -> set[Series]:
    """Return the series that have events."""
    used = np.flatnonzero(np.bincount(events.series_index, minlength=len(events.series)))
    return {events.series[index] for index in used}


def arms_of(events: Events) -> set[Arm]:
    """Return the arms that have events, or dropped ones."""
    return {each.arm for each in series_of(events)} | events.dropped.keys()


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
