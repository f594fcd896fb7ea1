"""Event batches: bytes → messages → checked columns. Flags are the SDK's `tidegate.wire`'s."""

import re
from collections.abc import Collection
from dataclasses import replace

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from tidegate.model import FlagKey, Phase, VariantKey
from tidegate.v1 import event_service_pb2
from tidegate_server.domain.checks import KEY, KEY_RULE
from tidegate_server.domain.events import Arm, BatchId, Events, Series
from tidegate_server.errors import InvalidField

MAX_SERIES = 65_536
MAX_EVENTS = 50_000
MAX_UNIT_ID = 1_000
"""Most characters of a unit's id."""

MAX_VALUE = 1e100
"""Largest magnitude of a value: sums of its squares stay finite over 2^63 events."""

MAX_DROPPED = 10**9
"""Most events that one entry may report as dropped."""

END_MS = 7_258_118_400_000
"""2200-01-01 UTC, in ms since 1970 UTC: times lie in [0, END_MS)."""

_BATCH_ID_BYTES = 16
_OUTCOME = re.compile(r"[a-z0-9._-]{0,100}")
_OFFSET_RANGE = 1 << 31
_TIME_RULE = "times are ms since 1970-01-01 UTC, before 2200"


def decode_batch(payload: bytes) -> tuple[BatchId, Events]:
    """Return the id and the events of a serialized EventBatch, all of it checked.

    Raises:
        InvalidField: names the column and the first index that is wrong, as in `values[17]`.
    """
    try:
        batch = event_service_pb2.EventBatch.FromString(payload)
    except DecodeError as error:
        raise InvalidField("batch", f"is no tidegate.v1.EventBatch ({error})") from None
    if len(batch.batch_id) != _BATCH_ID_BYTES:
        raise InvalidField(
            "batch_id", f"has {len(batch.batch_id)} bytes; give {_BATCH_ID_BYTES} random ones"
        )
    count = _event_count(batch)
    series = _series(batch)
    dropped = _dropped(batch)
    _check_unit_ids(batch.unit_ids)
    series_index = _series_index(batch.series_indexes, series)
    events = Events(
        series=series,
        series_index=series_index,
        unit_hash=np.fromiter(batch.unit_hashes, np.uint64, count),
        time_ms=_times(batch),
        value=_values(batch.values, series, series_index),
        dropped=dropped,
    )
    return BatchId(batch.batch_id), events


def _event_count(batch: event_service_pb2.EventBatch) -> int:
    count = len(batch.values)
    if count > MAX_EVENTS:
        raise InvalidField("values", f"there are {count:,}; at most {MAX_EVENTS:,} fit a batch")
    columns: dict[str, Collection[int]] = {
        "series_indexes": batch.series_indexes,
        "unit_hashes": batch.unit_hashes,
        "time_offsets_ms": batch.time_offsets_ms,
    }
    for name, column in columns.items():
        if len(column) != count:
            raise InvalidField(
                name, f"has {len(column):,} entries and values has {count:,}; give one for each"
            )
    return count


def _series(batch: event_service_pb2.EventBatch) -> tuple[Series, ...]:
    """Return the dictionary of series; it may be empty where events were only dropped."""
    least = 1 if batch.values or not batch.dropped_events else 0
    if not least <= len(batch.series) <= MAX_SERIES:
        raise InvalidField(
            "series", f"there are {len(batch.series):,}; give {least} to {MAX_SERIES:,}"
        )
    places: dict[Series, int] = {}
    for index, message in enumerate(batch.series):
        path = f"series[{index}]"
        if not _OUTCOME.fullmatch(message.outcome):
            raise InvalidField(
                f"{path}.outcome",
                f"{message.outcome[:120]!r} is not a valid name: use up to 100 characters of a-z, "
                "0-9, '.', '_' and '-', or none for exposures",
            )
        arm = replace(_arm(path, message), outside_split=message.outside_split)
        each = Series(arm, message.outcome)
        if places.setdefault(each, index) != index:
            raise InvalidField(path, f"repeats series[{places[each]}]; name each series once")
    return tuple(places)


def _dropped(batch: event_service_pb2.EventBatch) -> dict[Arm, int]:
    """Return the dropped events by arm; an arm named twice counts twice."""
    if len(batch.dropped_events) > MAX_SERIES:
        raise InvalidField(
            "dropped_events", f"there are {len(batch.dropped_events):,}; give 0 to {MAX_SERIES:,}"
        )
    dropped: dict[Arm, int] = {}
    for index, message in enumerate(batch.dropped_events):
        path = f"dropped_events[{index}]"
        arm = _arm(path, message)
        if not 1 <= message.count <= MAX_DROPPED:
            raise InvalidField(
                f"{path}.count", f"{message.count} is out of range: give 1 to {MAX_DROPPED:,}"
            )
        dropped[arm] = dropped.get(arm, 0) + message.count
    return dropped


def _arm(path: str, message: event_service_pb2.Series | event_service_pb2.DroppedEvents) -> Arm:
    _check_key(f"{path}.flag_key", message.flag_key)
    _check_key(f"{path}.variant", message.variant)
    if message.phase < 1:
        raise InvalidField(f"{path}.phase", f"{message.phase} is out of range: a phase is >= 1")
    return Arm(FlagKey(message.flag_key), Phase(message.phase), VariantKey(message.variant))


def _check_key(field: str, key: str) -> None:
    if not KEY.fullmatch(key):
        raise InvalidField(field, f"{key[:120]!r} is not a valid name: use {KEY_RULE}")


def _check_unit_ids(unit_ids: Collection[str]) -> None:
    if len(unit_ids) > MAX_EVENTS:
        raise InvalidField(
            "unit_ids", f"there are {len(unit_ids):,}; at most {MAX_EVENTS:,} fit a batch"
        )
    for index, unit_id in enumerate(unit_ids):
        if not 1 <= len(unit_id) <= MAX_UNIT_ID:
            raise InvalidField(
                f"unit_ids[{index}]",
                f"has {len(unit_id):,} characters; give 1 to {MAX_UNIT_ID:,}",
            )


def _series_index(indexes: Collection[int], series: tuple[Series, ...]) -> NDArray[np.int64]:
    column = np.fromiter(indexes, np.int64, len(indexes))
    at = _first(column >= len(series))
    if at is not None:
        raise InvalidField(
            f"series_indexes[{at}]", f"{column[at]} names none of the {len(series):,} series"
        )
    return column


def _times(batch: event_service_pb2.EventBatch) -> NDArray[np.int64]:
    base = batch.base_time_ms
    if not -_OFFSET_RANGE <= base < END_MS + _OFFSET_RANGE:
        raise InvalidField("base_time_ms", f"{base} is out of range: {_TIME_RULE}")
    offsets = np.fromiter(batch.time_offsets_ms, np.int64, len(batch.time_offsets_ms))
    times = offsets + base
    at = _first((times < 0) | (times >= END_MS))
    if at is not None:
        raise InvalidField(
            f"time_offsets_ms[{at}]",
            f"{offsets[at]} after {base} is out of range: {_TIME_RULE}",
        )
    return times


def _values(
    values: Collection[float], series: tuple[Series, ...], series_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    column = np.fromiter(values, np.float64, len(values))
    at = _first(~(np.abs(column) <= MAX_VALUE))  # which is also true of NaN
    if at is not None:
        raise InvalidField(
            f"values[{at}]", f"{column[at]} is out of range: give finite values of at most 1e100"
        )
    exposure = np.array([not each.outcome for each in series], np.bool_)
    at = _first(exposure[series_index] & (column != 1))
    if at is not None:
        raise InvalidField(f"values[{at}]", f"{column[at]} must be 1, for this is an exposure")
    return column


def _first(wrong: NDArray[np.bool_]) -> int | None:
    """Return the first position that is wrong."""
    return int(wrong.argmax()) if wrong.any() else None
