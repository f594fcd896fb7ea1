"""Events as they are collected, and their encoding as a columnar batch. No I/O."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tidegate.arm import Arm, arm_of
from tidegate.bucketing import unit_hash
from tidegate.evaluation import Given
from tidegate.v1 import event_service_pb2

Event: TypeAlias = tuple[Given | Arm, str, str | bytes, float, float]
"""What was given, the outcome ("" for an exposure), the unit, its time and its value.

The unit is its id, or the 8 bytes of its hash (big-endian) where a token told no more. The time is
in seconds since 1970 UTC; the value is finite, and 1 for an exposure. A tuple, because it is made
with every call of `track`.
"""

ArmKey: TypeAlias = tuple[str, str, int]
"""Flag, variant and phase."""

LONGEST_OFFSET_MS = (1 << 31) - 1
"""Farthest an event may lie from the begin of its batch; beyond (the clock was set) it is moved."""


def arm_key(what: Given | Arm) -> ArmKey:
    """Return which arm something given belongs to."""
    return what.flag, what.variant, what.phase


def count_arms(events: Sequence[Event]) -> Counter[ArmKey]:
    """Return how many of the events belong to each arm."""
    return Counter(arm_key(event[0]) for event in events)


def batch_arms(batch: event_service_pb2.EventBatch) -> Counter[ArmKey]:
    """Return how many events of a batch, and of those dropped before it, belong to each arm."""
    arms = [(series.flag_key, series.variant, series.phase) for series in batch.series]
    counts = Counter(arms[index] for index in batch.series_indexes)
    for dropped in batch.dropped_events:
        counts[dropped.flag_key, dropped.variant, dropped.phase] += dropped.count
    return counts


def encode_batch(
    batch_id: bytes,
    events: Sequence[Event],
    dropped: Mapping[ArmKey, int],
    *,
    send_unit_ids: bool,
) -> event_service_pb2.EventBatch:
    """Return events (at least one) as columns, with the numbers of events dropped before them."""
    base_ms = round(events[0][3] * 1_000)
    units = {unit: _hash(unit) for _, _, unit, _, _ in events}
    series, indexes = _series(events)
    return event_service_pb2.EventBatch(
        batch_id=batch_id,
        series=series,
        base_time_ms=base_ms,
        series_indexes=indexes,
        unit_hashes=[units[unit] for _, _, unit, _, _ in events],
        time_offsets_ms=[_offset_ms(seconds, base_ms) for _, _, _, seconds, _ in events],
        values=[value for _, _, _, _, value in events],
        unit_ids=[unit for unit in units if isinstance(unit, str)] if send_unit_ids else [],
        dropped_events=[
            event_service_pb2.DroppedEvents(
                flag_key=flag, variant=variant, phase=phase, count=count
            )
            for (flag, variant, phase), count in dropped.items()
        ],
    )


def _hash(unit: str | bytes) -> int:
    return unit_hash(unit) if isinstance(unit, str) else int.from_bytes(unit)


def _series(events: Sequence[Event]) -> tuple[list[event_service_pb2.Series], list[int]]:
    """Return the distinct series of events, and for each event the index of its own.

    An arm has one series for an outcome, with the first version id that was met.
    """
    series: list[event_service_pb2.Series] = []
    places: dict[tuple[ArmKey, bool, str], int] = {}
    known: dict[tuple[Given | Arm, str], int] = {}  # most events are settled here
    indexes = []
    for what, outcome, _, _, _ in events:
        place = known.get((what, outcome))
        if place is None:
            arm = arm_of(what)
            place = places.setdefault((arm_key(arm), arm.outside_split, outcome), len(series))
            if place == len(series):
                series.append(_series_of(arm, outcome))
            known[what, outcome] = place
        indexes.append(place)
    return series, indexes


def _series_of(arm: Arm, outcome: str) -> event_service_pb2.Series:
    return event_service_pb2.Series(
        flag_key=arm.flag,
        variant=arm.variant,
        phase=arm.phase,
        outcome=outcome,
        version_id=arm.version_id,
        outside_split=arm.outside_split,
    )


def _offset_ms(seconds: float, base_ms: int) -> int:
    offset = round(seconds * 1_000) - base_ms
    return max(-LONGEST_OFFSET_MS, min(offset, LONGEST_OFFSET_MS))
