"""Events as they are collected, and their encoding as a columnar batch. No I/O.

A batch is encoded by hand, for a message class takes three times as long: an EventBatch of
event_service.proto with packed columns, fields in the order of their numbers.
"""

import secrets
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import TypeAlias

from tidegate.arm import Arm, arm_of
from tidegate.bucketing import unit_digest
from tidegate.evaluation import Given
from tidegate.v1 import event_service_pb2

Event: TypeAlias = tuple[Given | Arm, str, str | bytes, float, float]
"""What was given, the outcome ("" for an exposure), the unit, its time and its value.

The unit is its id, or the 8 bytes of its hash (big-endian) where a token told no more. The time is
in seconds since 1970 UTC; the value is finite, and 1 for an exposure. A tuple, because it is made
with every call of `track`.
"""

_COLUMNS = tuple(map(itemgetter, range(5)))
"""Takes one part of each event; `zip` would make an object for each, and wake the collector."""

ArmKey: TypeAlias = tuple[str, str, int]
"""Flag, variant and phase."""

LONGEST_OFFSET_MS = (1 << 31) - 1
"""Farthest an event may lie from the begin of its batch; beyond (the clock was set) it is moved."""

_HASH_BYTES = 8
_FORMAT = b"\x50\x01"
"""Field 10, `format`: 1."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A serialized EventBatch, which begins with its id, and how many events it has."""

    payload: bytes
    size: int

    @property
    def request_id(self) -> str:
        """The batch's id in hexadecimal: it names all attempts to send it."""
        return self.payload[2:18].hex()


def new_batch_id(seconds: float) -> bytes:
    """Return the id of a batch that is made at a time, in seconds since 1970 UTC: 16 bytes."""
    return max(0, int(seconds * 1_000)).to_bytes(6) + secrets.token_bytes(10)


def arm_key(what: Given | Arm) -> ArmKey:
    """Return which arm something given belongs to."""
    return what.flag, what.variant, what.phase


def count_arms(events: Sequence[Event]) -> Counter[ArmKey]:
    """Return how many of the events belong to each arm."""
    return Counter(arm_key(event[0]) for event in events)


def batch_arms(batch: Batch) -> Counter[ArmKey]:
    """Return how many events of a batch, and of those dropped before it, belong to each arm."""
    message = event_service_pb2.EventBatch.FromString(batch.payload)
    arms = [(series.flag_key, series.variant, series.phase) for series in message.series]
    counts = Counter(arms[index] for index in message.series_indexes)
    for dropped in message.dropped_events:
        counts[dropped.flag_key, dropped.variant, dropped.phase] += dropped.count
    return counts


def encode_batch(
    batch_id: bytes,
    events: Sequence[Event],
    dropped: Mapping[ArmKey, int],
    *,
    send_unit_ids: bool,
) -> Batch:
    """Return events (at least one) as columns, with the numbers of events dropped before them."""
    whats, outcomes, units, seconds, values = (list(map(take, events)) for take in _COLUMNS)
    count = len(events)
    base_ms = round(seconds[0] * 1_000)
    series, indexes = _series(list(zip(whats, outcomes, strict=True)))
    ids, hashes = _units(units)
    payload = b"".join(
        (
            _field(1, batch_id),
            *(_field(2, each) for each in series),
            b"\x18" + varint(base_ms),
            _field(4, struct.pack(f"<{count}I", *indexes)),
            _field(5, hashes),
            _field(6, struct.pack(f"<{count}i", *_offsets_ms(seconds, base_ms))),
            _field(7, struct.pack(f"<{count}d", *values)),
            *([_head(8, len(each)) + each for each in ids] if send_unit_ids else ()),
            *(_field(9, _dropped(arm, lost)) for arm, lost in dropped.items()),
            _FORMAT,
        )
    )
    return Batch(payload, count)


def _series(pairs: Sequence[tuple[Given | Arm, str]]) -> tuple[list[bytes], Iterable[int]]:
    """Return the distinct series of events, serialized, and for each event the index of its own.

    An arm has one series for an outcome, with the first version id that was met. They are in the
    order of their bytes, so that most batches of a client repeat them: servers remember what they
    have read.
    """
    series: list[bytes] = []
    places: dict[tuple[ArmKey, bool, str], int] = {}
    index = dict.fromkeys(pairs, 0)
    for what, outcome in index:
        arm = arm_of(what)
        place = places.setdefault((arm_key(arm), arm.outside_split, outcome), len(series))
        if place == len(series):
            series.append(_series_of(arm, outcome))
        index[what, outcome] = place
    order = sorted(range(len(series)), key=series.__getitem__)
    ranks = dict(zip(order, range(len(series)), strict=True))
    index = {pair: ranks[place] for pair, place in index.items()}
    return [series[place] for place in order], map(index.__getitem__, pairs)


@lru_cache(maxsize=1_024)
def _series_of(arm: Arm, outcome: str) -> bytes:
    return event_service_pb2.Series(
        flag_key=arm.flag,
        variant=arm.variant,
        phase=arm.phase,
        outcome=outcome,
        version_id=arm.version_id,
        outside_split=arm.outside_split,
    ).SerializeToString()


def _units(units: Sequence[str | bytes]) -> tuple[list[bytes], bytes]:
    """Return the distinct ids, in UTF-8, and for each event its unit's hash, as a column."""
    ids: list[bytes] = []
    hashes: dict[str | bytes, bytes] = dict.fromkeys(units, b"")
    for unit in hashes:
        if isinstance(unit, str):
            encoded = unit.encode()
            ids.append(encoded)
            hashes[unit] = unit_digest(encoded)[:_HASH_BYTES]
        else:
            hashes[unit] = unit[::-1]
    return ids, b"".join(map(hashes.__getitem__, units))


def _offsets_ms(seconds: Sequence[float], base_ms: int) -> list[int]:
    offsets = [round(each * 1_000) - base_ms for each in seconds]
    if max(offsets) > LONGEST_OFFSET_MS or min(offsets) < -LONGEST_OFFSET_MS:
        return [max(-LONGEST_OFFSET_MS, min(each, LONGEST_OFFSET_MS)) for each in offsets]
    return offsets


def _dropped(arm: ArmKey, count: int) -> bytes:
    flag, variant, phase = arm
    return event_service_pb2.DroppedEvents(
        flag_key=flag, variant=variant, phase=phase, count=count
    ).SerializeToString()


def _field(number: int, content: bytes) -> bytes:
    """Return a field of protobuf's wire type 2: bytes, text, a message or a packed column."""
    return _head(number, len(content)) + content


@lru_cache(maxsize=1_024)
def _head(number: int, size: int) -> bytes:
    return varint(number << 3 | 2) + varint(size)


def varint(number: int) -> bytes:
    """Return an int64 as protobuf's varint."""
    number &= (1 << 64) - 1
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)
