"""The fields of an EventBatch, found in its bytes without the generated class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from tidegate_server.domain.intake import MAX_EVENTS, MAX_SERIES
from tidegate_server.errors import InvalidField
from tidegate_server.wire.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    check_count,
    next_field,
    read_varint,
    signed,
)
from tidegate_server.wire.unit_ids import TAG, Piece, more_than, plain_run

T = TypeVar("T")

_BATCH_ID, _SERIES, _BASE_TIME, _UNIT_ID, _DROPPED, _FORMAT = 1, 2, 3, 8, 9, 10
_KINDS = {
    _BATCH_ID: BYTES,
    _SERIES: BYTES,
    _BASE_TIME: VARINT,
    _UNIT_ID: BYTES,
    _DROPPED: BYTES,
    _FORMAT: VARINT,
}
_COLUMNS = {4: FIXED32, 5: FIXED64, 6: FIXED32, 7: FIXED64}
"""Wire types of single entries of the columns; packed ones are BYTES."""

_SERIES_TAG = _SERIES << 3 | BYTES
_SHORT = b"\x12(?:%s)" % b"|".join(
    re.escape(bytes([length])) + b".{%d}" % length for length in range(1, 128)
)
_ONE_SERIES = re.compile(_SHORT, re.DOTALL)
_SERIES_RUN = re.compile(b"(?:%s){1,64}+" % _SHORT, re.DOTALL)
"""Up to 64 short series, one after the other: all of them, in most batches."""

_MOST_RUNS = 512


@dataclass(slots=True, eq=False)
class Fields:
    """What a batch's bytes hold: scalars, serialized messages, and columns by their field number.

    A column is a view of the bytes. Legal encoders may also split it, send its entries one by one,
    or mix both: then it is a copy that joins them.
    """

    data: bytes
    batch_id: bytes = b""
    series: list[bytes] = field(default_factory=list)
    base_time_ms: int = 0
    columns: dict[int, memoryview | bytearray] = field(default_factory=dict)
    unit_ids: list[Piece] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)
    format: int = 0


def scan(data: bytes) -> Fields:
    """Return the fields of a serialized EventBatch; those that are not known are passed over.

    Raises:
        InvalidField: it is malformed, or has more entries than a batch may have.
    """
    fields = Fields(data)
    at, count = 0, 0
    while at < len(data):
        count += 1
        check_count(count)
        if data[at] == TAG and (run := plain_run(data, at)) is not None:
            _append("unit_ids", fields.unit_ids, run, MAX_EVENTS)
            at = run.end
            continue
        if data[at] == _SERIES_TAG and (short := _SERIES_RUN.match(data, at)) is not None:
            _extend(fields.series, _split(short[0]))
            at = short.end()
            continue
        number, kind, begin, at = next_field(data, at)
        if number in _COLUMNS:
            _take_column(fields, number, kind, begin, at)
        elif number in _KINDS:
            _take(fields, number, kind, begin, at)
    if fields.unit_ids and more_than(data, fields.unit_ids, MAX_EVENTS):
        raise _too_many("unit_ids", MAX_EVENTS)
    return fields


def _take(fields: Fields, number: int, kind: int, begin: int, end: int) -> None:
    if kind != _KINDS[number]:
        raise _wrong_kind(number, kind)
    match number:
        case 1:
            fields.batch_id = fields.data[begin:end]
        case 2:
            _append("series", fields.series, fields.data[begin:end], MAX_SERIES)
        case 3:
            fields.base_time_ms = signed(read_varint(fields.data, begin)[0], 64)
        case 8:
            _append("unit_ids", fields.unit_ids, Piece(begin, end, plain=False), MAX_EVENTS)
        case 9:
            _append("dropped_events", fields.dropped, fields.data[begin:end], MAX_SERIES)
        case _:
            fields.format = signed(read_varint(fields.data, begin)[0], 32)


def _take_column(fields: Fields, number: int, kind: int, begin: int, end: int) -> None:
    if kind not in (BYTES, _COLUMNS[number]):
        raise _wrong_kind(number, kind)
    piece = memoryview(fields.data)[begin:end]
    before = fields.columns.get(number)
    if before is None:
        fields.columns[number] = piece
    elif isinstance(before, bytearray):
        before += piece
    else:
        fields.columns[number] = bytearray(before) + piece


def _append(name: str, entries: list[T], entry: T, most: int) -> None:
    if len(entries) == most:
        raise _too_many(name, most)
    entries.append(entry)


def _extend(series: list[bytes], more: Sequence[bytes]) -> None:
    if len(series) + len(more) > MAX_SERIES:
        raise _too_many("series", MAX_SERIES)
    series += more


@lru_cache(_MOST_RUNS)
def _split(run: bytes) -> tuple[bytes, ...]:
    """Return the series of a run; batches repeat theirs, and get the same objects."""
    return tuple([each[2:] for each in _ONE_SERIES.findall(run)])


def _too_many(name: str, most: int) -> InvalidField:
    return InvalidField(name, f"there are more than {most:,}, and no more fit a batch")


def _wrong_kind(number: int, kind: int) -> InvalidField:
    return InvalidField(
        "batch", f"is no tidegate.v1.EventBatch: field {number} has wire type {kind}"
    )
