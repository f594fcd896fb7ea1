"""Event batches: bytes → columns, series and counts, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tidegate.v1 import event_service_pb2
from tidegate_server.domain.events import Arm, BatchId, Events, Series
from tidegate_server.domain.intake import (
    END_MS,
    MAX_EVENTS,
    OFFSET_RANGE,
    Columns,
    Sent,
    Times,
    is_good,
    reason,
    wrong_events,
)
from tidegate_server.errors import InvalidField
from tidegate_server.wire.fields import Fields, scan
from tidegate_server.wire.series import dictionary, sent_dropped
from tidegate_server.wire.unit_ids import read_ids

FORMATS = (0, 1)
"""Formats of the columns that are known."""

ALL_TIMES = Times()

_BATCH_ID_BYTES = 16

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch as it was sent: whole, and within the limits; single entries may still be wrong.

    base_time_ms: in [-2^31, END_MS + 2^31).
    """

    fields: Fields
    batch_id: BatchId
    base_time_ms: int
    sent: Sent

    def wrong_unit_ids(self) -> list[str]:
        """Return what is wrong with unit ids, each beginning with its place."""
        if all(piece.plain for piece in self.fields.unit_ids):
            return []
        return read_ids(self.fields.data, self.fields.unit_ids)[1]


def decode(payload: bytes) -> Batch:
    """Return what a serialized EventBatch holds; the columns are views of it where they can be.

    Raises:
        InvalidField: names what is wrong with the batch as a whole.
    """
    fields = scan(payload)
    if len(fields.batch_id) != _BATCH_ID_BYTES:
        raise InvalidField(
            "batch_id",
            f"has {len(fields.batch_id)} bytes; give {_BATCH_ID_BYTES}: the time and random ones",
        )
    if fields.format not in FORMATS:
        raise InvalidField(
            "format", f"{fields.format} is not known to this release; give 1, or update the server"
        )
    if not -OFFSET_RANGE <= fields.base_time_ms < END_MS + OFFSET_RANGE:
        raise InvalidField(
            "base_time_ms",
            f"{fields.base_time_ms} is out of range: give ms since 1970-01-01 UTC, before 2200",
        )
    columns = _columns(fields)
    if not len(columns.value) and not fields.dropped:
        raise InvalidField("values", "there are none, and no dropped_events; give one at least")
    return Batch(
        fields,
        BatchId(fields.batch_id),
        fields.base_time_ms,
        Sent(
            dictionary(fields.series),
            tuple([sent_dropped(each) for each in fields.dropped]),
            columns,
        ),
    )


def decode_batch(payload: bytes) -> tuple[BatchId, Events]:
    """Return the id and the events of a serialized EventBatch in which nothing is wrong.

    Raises:
        InvalidField: names the column and the first index that is wrong, as in `values[17]`.
    """
    batch = decode(payload)
    sent, columns = batch.sent, batch.sent.columns
    problems = [each.problem for each in sent.series]
    if not is_good(sent, problems, ALL_TIMES):
        wrong = wrong_events(sent, problems, ALL_TIMES)
        if len(wrong):
            raise _invalid(reason(sent, problems, ALL_TIMES, int(wrong[0])))
    return batch.batch_id, Events(
        series=_series(sent),
        series_index=columns.series_index.astype(np.int64),
        unit_hash=columns.unit_hash,
        time_ms=columns.time_ms,
        value=columns.value,
        dropped=_dropped(sent),
    )


def encode_kept(batch: Batch, kept: NDArray[np.intp], dropped: Mapping[Arm, int]) -> bytes:
    """Return a batch with the events at the indexes `kept` only, and these counts of lost events.

    Series that none of them is about are left out, and so are unit ids that are wrong.
    """
    columns = batch.sent.columns
    places, series_index = np.unique(columns.series_index[kept], return_inverse=True)
    return event_service_pb2.EventBatch(
        batch_id=batch.batch_id,
        series=[
            event_service_pb2.Series.FromString(batch.fields.series[place]) for place in places
        ],
        base_time_ms=batch.base_time_ms,
        series_indexes=series_index.tolist(),
        unit_hashes=columns.unit_hash[kept].tolist(),
        time_offsets_ms=columns.time_offset_ms[kept].tolist(),
        values=columns.value[kept].tolist(),
        unit_ids=read_ids(batch.fields.data, batch.fields.unit_ids)[0],
        dropped_events=[
            event_service_pb2.DroppedEvents(
                flag_key=arm.flag, variant=arm.variant, phase=arm.phase, count=count
            )
            for arm, count in dropped.items()
        ],
        format=batch.fields.format,
    ).SerializeToString()


def _columns(fields: Fields) -> Columns:
    values = _column(fields, 7, "values", np.dtype("<f8"))
    count = len(values)
    if count > MAX_EVENTS:
        raise InvalidField("values", f"there are {count:,}; at most {MAX_EVENTS:,} fit a batch")
    series_index = _column(fields, 4, "series_indexes", np.dtype("<u4"))
    unit_hash = _column(fields, 5, "unit_hashes", np.dtype("<u8"))
    offset = _column(fields, 6, "time_offsets_ms", np.dtype("<i4"))
    for name, column in (
        ("series_indexes", series_index),
        ("unit_hashes", unit_hash),
        ("time_offsets_ms", offset),
    ):
        if len(column) != count:
            raise InvalidField(
                name, f"has {len(column):,} entries and values has {count:,}; give one for each"
            )
    return Columns(series_index, unit_hash, fields.base_time_ms, offset, values)


def _column(fields: Fields, number: int, name: str, dtype: np.dtype[T]) -> NDArray[T]:
    content = fields.columns.get(number, b"")
    if len(content) % dtype.itemsize:
        raise InvalidField(
            name, f"has {len(content):,} bytes, which is no multiple of {dtype.itemsize}"
        )
    return np.frombuffer(content, dtype)


def _series(sent: Sent) -> tuple[Series, ...]:
    found = []
    for index, each in enumerate(sent.series):
        if each.series is None:
            raise _invalid(f"series[{index}].{each.problem}")
        found.append(each.series)
    return tuple(found)


def _dropped(sent: Sent) -> dict[Arm, int]:
    """Return the dropped events by arm; an arm named twice counts twice."""
    dropped: dict[Arm, int] = {}
    for index, each in enumerate(sent.dropped):
        if each.arm is None or each.problem:
            raise _invalid(f"dropped_events[{index}].{each.problem}")
        dropped[each.arm] = dropped.get(each.arm, 0) + each.count
    return dropped


def _invalid(problem: str) -> InvalidField:
    field, _, what = problem.partition(": ")
    return InvalidField(field, what)
