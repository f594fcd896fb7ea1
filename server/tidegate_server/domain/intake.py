"""Which events of a batch can be stored: pure, by whole columns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tidegate_server.domain.events import Arm, Series

MAX_EVENTS = 50_000
"""Most events of a batch, and most unit ids."""

MAX_SERIES = 65_536
"""Most series of a batch, and most entries of `dropped_events`."""

MAX_VALUE = 1e100
"""Largest magnitude of a value: sums of its squares stay finite over 2^63 events."""

MAX_DROPPED = 10**9
"""Most events that one entry may report as dropped."""

OFFSET_RANGE = 1 << 31
"""Offsets of times from a batch's base time lie in [-OFFSET_RANGE, OFFSET_RANGE) ms."""

END_MS = 7_258_118_400_000
"""2200-01-01 UTC, in ms since 1970 UTC: times lie in [0, END_MS)."""

MOST_SHOWN = 100
"""How many refused events an answer lists, and how much of what else was left out."""

OLDEST_MS = 400 * 86_400_000
"""Greatest age of an event: as long as the longest retention of aggregates."""

MOST_AHEAD_MS = 3_600_000
"""How far in the future an event may lie: an hour is more than a clock that somebody keeps is off,
and less than what would mark windows that nobody has seen yet."""


NONE: NDArray[np.intp] = np.empty(0, np.intp)
_NO_VALUE = 0.0, -1.0


@dataclass(frozen=True, slots=True)
class SentSeries:
    """A series as it was sent; `problem` begins with the field that is wrong, "" if none is.

    arm: None where its names or its phase are wrong. series: None where anything is.
    """

    arm: Arm | None
    series: Series | None
    problem: str = ""

    @property
    def is_exposure(self) -> bool:
        """Whether its events are exposures."""
        return self.series is not None and not self.series.outcome


@dataclass(frozen=True, slots=True)
class SentDropped:
    """An entry of `dropped_events` as it was sent; `problem` as in SentSeries.

    arm: None where its names or its phase are wrong. count: in [1, MAX_DROPPED] without a problem.
    """

    arm: Arm | None
    count: int
    problem: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Events as they were sent: columns of one length n, and no more is known of them.

    Shapes (n,); they may be read-only. series_index: perhaps of no series. time_offset_ms: from
    `base_time_ms`, which is in ms since 1970 UTC. value: any float.
    """

    series_index: NDArray[np.uint32]
    unit_hash: NDArray[np.uint64]
    base_time_ms: int
    time_offset_ms: NDArray[np.int32]
    value: NDArray[np.float64]

    @property
    def time_ms(self) -> NDArray[np.int64]:
        """The times of the events, in ms since 1970 UTC."""
        return np.add(self.time_offset_ms, self.base_time_ms, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Dictionary:
    """The series of a batch, and what follows from them alone: many batches have the same ones.

    arms, problems: of each of `series`. limits: the lowest and the highest value of each, shape
    (n, 2).
    """

    series: tuple[SentSeries, ...]
    arms: tuple[Arm | None, ...]
    problems: tuple[str, ...]
    limits: NDArray[np.float64]

    @classmethod
    def of(cls, series: tuple[SentSeries, ...]) -> Self:
        """Return the dictionary of these series."""
        limits = [(1.0, 1.0) if each.is_exposure else (-MAX_VALUE, MAX_VALUE) for each in series]
        return cls(
            series,
            tuple([each.arm for each in series]),
            tuple([each.problem for each in series]),
            np.array(limits).reshape(-1, 2),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """What a batch holds, as it was sent: its dictionary of series, lost events, and columns."""

    dictionary: Dictionary
    dropped: tuple[SentDropped, ...]
    columns: Columns

    @property
    def series(self) -> tuple[SentSeries, ...]:
        """The series of the dictionary."""
        return self.dictionary.series

    @property
    def arms(self) -> tuple[Arm | None, ...]:
        """The arms of the entries: those of `series`, then those of `dropped`."""
        return *self.dictionary.arms, *(each.arm for each in self.dropped)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with each of the entries, "" if nothing is."""
        return *self.dictionary.problems, *(each.problem for each in self.dropped)


@dataclass(frozen=True, slots=True)
class Times:
    """The times that events may have: first_ms <= time < end_ms, in ms since 1970 UTC."""

    first_ms: int = 0
    end_ms: int = END_MS

    @classmethod
    def around(cls, now_ms: int) -> "Times":
        """Return the times of events that arrive now: not too old, and not too far ahead."""
        return cls(max(0, now_ms - OLDEST_MS), min(END_MS, now_ms + MOST_AHEAD_MS + 1))


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that can't be stored: its index, and why, beginning with column and index."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Sifted:
    """What of a batch can be stored.

    kept: indexes of events, in order. refused_count: of all others, >= 0; refused: the first of
    them. dropped: lost events by arm: those that clients told of, and those refused here.
    left_out: what is wrong with other entries, each beginning with its place.
    """

    kept: NDArray[np.intp]
    refused_count: int
    refused: Sequence[Refused]
    dropped: Mapping[Arm, int]
    left_out: Sequence[str]

    @property
    def whole(self) -> bool:
        """Whether all of the batch can be stored, as it is."""
        return not self.refused_count and not self.left_out


def sift(sent: Sent, unknown: Sequence[str], wrong_unit_ids: Sequence[str], times: Times) -> Sifted:
    """Return what can be stored of a batch.

    unknown: why each of `sent.arms` is not known, beginning with the field; "" if it is.
    wrong_unit_ids: what is wrong with single unit ids; they are left out.
    """
    problems, own = unknown, sent.problems
    if any(own):
        problems = [problem or why for problem, why in zip(own, unknown, strict=True)]
    wrong = NONE if is_good(sent, problems, times) else wrong_events(sent, problems, times)
    every = np.arange(len(sent.columns.value))
    refused = wrong[:MOST_SHOWN].tolist()
    left_out = [*_left_out(sent, problems), *wrong_unit_ids] if any(problems) else wrong_unit_ids
    return Sifted(
        kept=np.delete(every, wrong) if len(wrong) else every,
        refused_count=len(wrong),
        refused=[Refused(index, reason(sent, problems, times, index)) for index in refused],
        dropped=_dropped(sent, unknown, problems, wrong) if len(wrong) or sent.dropped else {},
        left_out=left_out[:MOST_SHOWN],
    )


def is_good(sent: Sent, problems: Sequence[str], times: Times) -> bool:
    """Return whether all events can be stored: `wrong_events` finds none, but takes twice as long.

    problems: of each series at least, "" if none.
    """
    columns, values = sent.columns, sent.columns.value
    if any(problems):
        return False
    if not len(values):
        return True
    if not _in_time(columns, times):
        return False
    try:
        limits = sent.dictionary.limits.take(columns.series_index, axis=0)
    except IndexError:  # of no series
        return False
    right = (values >= limits[:, 0]) & (values <= limits[:, 1])  # NaN is neither
    return 0 not in right.tobytes()  # half the time of a reduction


def _in_time(columns: Columns, times: Times) -> bool:
    """Return whether all of at least one event have times that they may have."""
    offset, base_ms = columns.time_offset_ms, columns.base_time_ms
    doubtful = base_ms - OFFSET_RANGE < times.first_ms  # some may be too early
    if doubtful and base_ms + int(np.minimum.reduce(offset)) < times.first_ms:
        return False
    return base_ms + int(np.maximum.reduce(offset)) < times.end_ms


def wrong_events(sent: Sent, problems: Sequence[str], times: Times) -> NDArray[np.intp]:
    """Return the indexes of the events that can't be stored, in order.

    problems: of each series at least, "" if none.
    """
    columns, count = sent.columns, len(sent.series)
    # How far from the middle a value may lie: an exposure's is 1; of a wrong series, none is right.
    ranges = [
        _range_of(each, problem) for each, problem in zip(sent.series, problems, strict=False)
    ]
    middle, radius = np.array(list(zip(*ranges, _NO_VALUE, strict=True)))  # the last: of no series
    place = np.minimum(columns.series_index, count)
    right = np.abs(columns.value - middle.take(place)) <= radius.take(place)  # which NaN never is
    right &= (columns.time_ms - times.first_ms).view(np.uint64) < times.end_ms - times.first_ms
    return NONE if right.all() else np.flatnonzero(~right)


def _range_of(series: SentSeries, problem: str) -> tuple[float, float]:
    """Return the middle of the values that a series may have, and how far they may lie from it."""
    if problem:
        return _NO_VALUE
    return (1.0, 0.0) if series.is_exposure else (0.0, MAX_VALUE)


def reason(sent: Sent, problems: Sequence[str], times: Times, index: int) -> str:
    """Return what is wrong with one of `wrong_events`, beginning with the column and the index."""
    columns = sent.columns
    place = int(columns.series_index[index])
    if place >= len(sent.series):
        return f"series_indexes[{index}]: {place} names none of the {len(sent.series):,} series"
    if problems[place]:
        return f"series[{place}].{problems[place]}"
    value = float(columns.value[index])
    if not abs(value) <= MAX_VALUE:
        return f"values[{index}]: {value} is out of range: give finite values of at most 1e100"
    time_ms = int(columns.time_ms[index])
    if times.first_ms <= time_ms < times.end_ms:
        return f"values[{index}]: {value} must be 1, for this is an exposure"
    return (
        f"time_offsets_ms[{index}]: its time {time_ms} is out of range: "
        f"give {times.first_ms} to {times.end_ms - 1}, in ms since 1970-01-01 UTC"
    )


def _dropped(
    sent: Sent, unknown: Sequence[str], problems: Sequence[str], wrong: NDArray[np.intp]
) -> dict[Arm, int]:
    """Return the lost events by arm, inside its split or outside: those told of, and those wrong.

    Whose arm is not known is not counted.
    """
    dropped: Counter[Arm] = Counter()
    for lost, problem in zip(sent.dropped, problems[len(sent.series) :], strict=True):
        if lost.arm is not None and not problem:
            dropped[lost.arm] += lost.count
    places = sent.columns.series_index[wrong]
    for place, count in Counter(places[places < len(sent.series)].tolist()).items():
        arm = sent.series[place].arm
        if arm is not None and not unknown[place]:
            dropped[replace(arm, outside_split=False)] += count
    return {arm: min(count, MAX_DROPPED) for arm, count in dropped.most_common(MAX_SERIES)}


def _left_out(sent: Sent, problems: Sequence[str]) -> list[str]:
    """Return what is wrong with entries that no event tells of."""
    count = len(sent.series)
    used = np.bincount(np.minimum(sent.columns.series_index, count), minlength=count)
    return [
        *(
            f"series[{index}].{problems[index]}"
            for index in range(count)
            if problems[index] and not used[index]
        ),
        *(
            f"dropped_events[{index}].{problem}"
            for index, problem in enumerate(problems[count:])
            if problem
        ),
    ]
