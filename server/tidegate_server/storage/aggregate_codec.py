"""Aggregates as a Redis hash and a string, so that little is written when little changed.

The hash:

    meta                 _META
    <outcome>/<group>    CELLS_PER_GROUP times _CELL, then the group's bins as in `histogram_rows`

A group without events has no field. The string is the bitmap of units, row after row. Numbers are
little-endian.
"""

import struct
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import (
    BITMAP_BITS,
    CELLS,
    CELLS_PER_GROUP,
    GROUPS,
    ArmAggregate,
    Cells,
    Histogram,
    OutcomeAggregate,
)
from tidegate_server.errors import ConfigurationError
from tidegate_server.storage.histogram_rows import decode_rows, encode_rows

VERSION = 2
_META = struct.Struct("<Hqqqq")  # version, exposures, dropped, first_ms, last_ms
_MOST = (1 << 63) - 1
_CELL = np.dtype([("count", "<i8"), ("total", "<f8"), ("m2", "<f8")])
_GROUP_BYTES = CELLS_PER_GROUP * _CELL.itemsize
_CHANGED_BYTE = np.dtype([("place", "<u4"), ("byte", "u1")])
_LONGEST = 3_000
"""Changed bytes of a bitmap for which the store logs less than for the whole bitmap."""


def encode_changes(before: ArmAggregate, after: ArmAggregate) -> dict[str, bytes]:
    """Return the fields that differ, as they are in `after`; what `after` lacks is left alone."""
    fields = {}
    meta = _encode_meta(after)
    if meta != _encode_meta(before):
        fields["meta"] = meta
    for name, outcome in after.outcomes.items():
        for group, row in _encode_outcome(before.outcomes.get(name, _NOTHING), outcome):
            fields[f"{name}/{group}"] = row
    return fields


def encode_units(before: ArmAggregate, after: ArmAggregate) -> tuple[bytes, bytes]:
    """Return the bitmap's bytes that differ, as in `after`: places and bytes, or all of it.

    The first is _CHANGED_BYTE for each of them; the second is the whole bitmap, where that is
    less to write. At least one of them is empty. A bitmap that was empty also gets its last byte:
    the store then reserves just its length, and not twice as much as it grows.
    """
    units, old = after.units.reshape(-1), before.units.reshape(-1)
    places = np.flatnonzero(old != units)
    if places.size and not old.any():
        places = np.append(places, old.size - 1)[::-1]
    if places.size > _LONGEST:
        return b"", units.tobytes()
    changed = np.empty(places.size, _CHANGED_BYTE)
    changed["place"], changed["byte"] = places, units[places]
    return changed.tobytes(), b""


def decode(fields: Mapping[bytes, bytes], units: bytes) -> ArmAggregate:
    """Return the aggregate whose fields and bitmap these are; empty if there are none.

    Raises:
        ConfigurationError: a later version of the server wrote them.
    """
    exposures, dropped, first_ms, last_ms = _decode_meta(fields.get(b"meta"))
    rows: dict[str, dict[int, bytes]] = {}
    for key, value in fields.items():
        outcome, _, group = key.decode().rpartition("/")
        if group.isdecimal():
            rows.setdefault(outcome, {})[int(group)] = value
    bitmap = np.zeros(GROUPS * BITMAP_BITS // 8, np.uint8)
    bitmap[: len(units)] = np.frombuffer(units, np.uint8)
    return ArmAggregate(
        units=bitmap.reshape(GROUPS, -1),
        exposures=exposures,
        dropped=dropped,
        first_ms=first_ms,
        last_ms=last_ms,
        outcomes={name: _decode_outcome(rows[name]) for name in sorted(rows)},
    )


def _encode_meta(arm: ArmAggregate) -> bytes:
    exposures, dropped = min(arm.exposures, _MOST), min(arm.dropped, _MOST)
    return _META.pack(VERSION, exposures, dropped, arm.first_ms, arm.last_ms)


def _decode_meta(value: bytes | None) -> tuple[int, int, int, int]:
    if value is None:
        return 0, 0, 0, 0
    (version,) = struct.unpack_from("<H", value)
    if version != VERSION:
        raise ConfigurationError(
            f"the aggregates in the store have format {version}, and this server reads format "
            f"{VERSION}: run the version of tidegate that wrote them"
        )
    _, *numbers = _META.unpack(value)
    exposures, dropped, first_ms, last_ms = numbers
    return exposures, dropped, first_ms, last_ms


def _encode_outcome(
    before: OutcomeAggregate, after: OutcomeAggregate
) -> Iterator[tuple[int, bytes]]:
    """Yield the groups that differ, and their bytes."""
    lowest = min(before.histogram.lowest, after.histogram.lowest)
    ends = (each.lowest + each.counts.shape[1] for each in (before.histogram, after.histogram))
    width = max(ends) - lowest
    old, new = (_widened(each.histogram, lowest, width) for each in (before, after))
    old_cells, new_cells = (_rows_of(each.cells) for each in (before, after))
    differs = np.any(old != new, axis=1) | np.any(old_cells != new_cells, axis=1)
    groups = np.flatnonzero(differs)
    row, column = np.nonzero(new[groups])
    bins = encode_rows(groups.size, row, column + lowest, new[groups][row, column])
    content = new_cells[groups].tobytes()
    for place, group in enumerate(groups.tolist()):
        yield group, content[place * _GROUP_BYTES : (place + 1) * _GROUP_BYTES] + bins[place]


def _rows_of(cells: Cells) -> NDArray[np.void]:
    """Return the cells as they are stored, shape (GROUPS, CELLS_PER_GROUP)."""
    rows = np.empty(CELLS, _CELL)
    rows["count"], rows["total"], rows["m2"] = cells.count, cells.total, cells.m2
    return rows.reshape(GROUPS, CELLS_PER_GROUP)


def _widened(histogram: Histogram, lowest: int, width: int) -> NDArray[np.int64]:
    """Return the counts with columns for the bins [lowest, lowest + width)."""
    counts = np.zeros((GROUPS, width), np.int64)
    start = histogram.lowest - lowest
    counts[:, start : start + histogram.counts.shape[1]] = histogram.counts
    return counts


def _decode_outcome(rows: Mapping[int, bytes]) -> OutcomeAggregate:
    """Return what is kept of one outcome. rows: by group."""
    groups = np.array(list(rows), np.int64)
    cells = np.zeros((GROUPS, CELLS_PER_GROUP), _CELL)
    content = b"".join(value[:_GROUP_BYTES] for value in rows.values())
    cells[groups] = np.frombuffer(content, _CELL).reshape(-1, CELLS_PER_GROUP)
    flat = cells.reshape(-1)
    return OutcomeAggregate(
        Cells(flat["count"].copy(), flat["total"].copy(), flat["m2"].copy()),
        _histogram(groups, [value[_GROUP_BYTES:] for value in rows.values()]),
    )


def _histogram(groups: NDArray[np.int64], rows: list[bytes]) -> Histogram:
    row, index, count = decode_rows(rows)
    if not index.size:
        return Histogram.empty()
    lowest = int(index.min())
    counts = np.zeros((GROUPS, int(index.max()) - lowest + 1), np.int64)
    counts[groups[row], index - lowest] = count
    return Histogram(lowest, counts)


_NOTHING = OutcomeAggregate(Cells.empty(), Histogram.empty())
