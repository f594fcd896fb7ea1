"""Events as they are collected, and their encoding as a columnar batch. No I/O."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tidegate.bucketing import unit_hash
from tidegate.evaluation import Given
from tidegate.v1 import event_service_pb2

Event: TypeAlias = tuple[Given, str, str, float, float]
"""What was given, the outcome ("" for an exposure), the unit's id, its time and its value.

The time is in seconds since 1970 UTC; the value is finite, and 1 for an exposure. A tuple, because
it is made with every call of `track`.
"""

ArmKey: TypeAlias = tuple[str, str, int]
"""Flag, variant and phase."""

LONGEST_OFFSET_MS = (1 << 31) - 1
"""Farthest an event may lie from the begin of its batch; beyond (the clock was set) it is moved."""


def arm_key(given: Given) -> ArmKey:
    """Return which arm something given belongs to."""
    return given.flag, given.variant, given.phase


def count_arms(events: Sequence[Event]) -> Counter[ArmKey]:
    """Return how many of the events belong to each arm."""
    return Counter(arm_key(event[0]) for event in events)


def encode_batch(
    batch_id: bytes,
    events: Sequence[Event],
    dropped: Mapping[ArmKey, int],
    *,
    send_unit_ids: bool,
) -> event_service_pb2.EventBatch:
    """Return events (at least one) as columns, with the numbers of events dropped before them."""
    base_ms = round(events[0][3] * 1_000)
    units = {unit_id: unit_hash(unit_id) for _, _, unit_id, _, _ in events}
    series, indexes = _series(events)
    return event_service_pb2.EventBatch(
        batch_id=batch_id,
        series=series,
        base_time_ms=base_ms,
        series_indexes=indexes,
        unit_hashes=[units[unit_id] for _, _, unit_id, _, _ in events],
        time_offsets_ms=[_offset_ms(seconds, base_ms) for _, _, _, seconds, _ in events],
        values=[value for _, _, _, _, value in events],
        unit_ids=list(units) if send_unit_ids else [],
        dropped_events=[
            event_service_pb2.DroppedEvents(
                flag_key=flag, variant=variant, phase=phase, count=count
            )
            for (flag, variant, phase), count in dropped.items()
        ],
    )


def _series(events: Sequence[Event]) -> tuple[list[event_service_pb2.Series], list[int]]:
    """Return the distinct series of events, and for each event the index of its own."""
    places: dict[tuple[ArmKey, str], int] = {}
    known: dict[tuple[Given, str], int] = {}  # by identity: most events are settled here
    indexes = []
    for given, outcome, _, _, _ in events:
        place = known.get((given, outcome))
        if place is None:
            place = places.setdefault((arm_key(given), outcome), len(places))
            known[given, outcome] = place
        indexes.append(place)
    series = [
        event_service_pb2.Series(flag_key=flag, variant=variant, phase=phase, outcome=outcome)
        for (flag, variant, phase), outcome in places
    ]
    return series, indexes


def _offset_ms(seconds: float, base_ms: int) -> int:
    offset = round(seconds * 1_000) - base_ms
    return max(-LONGEST_OFFSET_MS, min(offset, LONGEST_OFFSET_MS))
