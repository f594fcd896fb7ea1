"""Aggregates as fields of a Redis hash: rows, so that little is written when little changed.

    meta                     _META
    units:<group>            a row of the bitmap: BITMAP_BITS / 8 bytes
    <outcome>/cells          CELLS times _CELL
    <outcome>/hist:<group>   a row of the histogram: _BIN for each bin that is not empty, rising

Numbers are little-endian. A row that is all zero has no field.
"""

import struct
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import (
    CELLS,
    GROUPS,
    ArmAggregate,
    Cells,
    Histogram,
    OutcomeAggregate,
)
from tidegate_server.errors import ConfigurationError

VERSION = 1
_META = struct.Struct("<Hqqqq")  # version, exposures, dropped, first_ms, last_ms
_MOST = (1 << 63) - 1
_CELL = np.dtype([("count", "<i8"), ("total", "<f8"), ("m2", "<f8")])
_BIN = np.dtype([("bin", "<i4"), ("count", "<i8")])


def encode_changes(before: ArmAggregate, after: ArmAggregate) -> dict[str, bytes]:
    """Return the fields that differ, as they are in `after`; what `after` lacks is left alone."""
    fields = {}
    meta = _encode_meta(after)
    if meta != _encode_meta(before):
        fields["meta"] = meta
    for row in np.flatnonzero(np.any(before.units != after.units, axis=1)):
        fields[f"units:{row}"] = after.units[row].tobytes()
    for name, outcome in after.outcomes.items():
        old = before.outcomes.get(name, _NOTHING)
        cells = _encode_cells(outcome.cells)
        if cells != _encode_cells(old.cells):
            fields[f"{name}/cells"] = cells
        for group, bins in _encode_histogram(old.histogram, outcome.histogram):
            fields[f"{name}/hist:{group}"] = bins
    return fields


def decode(fields: Mapping[bytes, bytes]) -> ArmAggregate:
    """Return the aggregate whose fields these are; empty if there are none.

    Raises:
        ConfigurationError: a later version of the server wrote them.
    """
    arm = ArmAggregate.empty()
    exposures, dropped, first_ms, last_ms = _decode_meta(fields.get(b"meta"))
    cells: dict[str, Cells] = {}
    rows: dict[str, dict[int, bytes]] = {}
    for key, value in fields.items():
        outcome, _, part = key.decode().rpartition("/")
        kind, _, group = part.partition(":")
        if kind == "units":
            arm.units[int(group)] = np.frombuffer(value, np.uint8)
        elif kind == "cells":
            cells[outcome] = _decode_cells(value)
        elif kind == "hist":
            rows.setdefault(outcome, {})[int(group)] = value
    outcomes = {
        name: OutcomeAggregate(cells[name], _decode_histogram(rows.get(name, {})))
        for name in sorted(cells)
    }
    return ArmAggregate(arm.units, exposures, dropped, first_ms, last_ms, outcomes)


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


def _encode_cells(cells: Cells) -> bytes:
    rows = np.empty(CELLS, _CELL)
    rows["count"], rows["total"], rows["m2"] = cells.count, cells.total, cells.m2
    return rows.tobytes()


def _decode_cells(value: bytes) -> Cells:
    rows = np.frombuffer(value, _CELL)
    return Cells(
        rows["count"].astype(np.int64),
        rows["total"].astype(np.float64),
        rows["m2"].astype(np.float64),
    )


def _encode_histogram(before: Histogram, after: Histogram) -> Iterator[tuple[int, bytes]]:
    """Yield the groups whose rows differ, and their rows."""
    lowest = min(before.lowest, after.lowest)
    width = max(each.lowest + each.counts.shape[1] for each in (before, after)) - lowest
    old, new = _widened(before, lowest, width), _widened(after, lowest, width)
    groups = np.flatnonzero(np.any(old != new, axis=1))
    row, column = np.nonzero(new[groups])
    bins = np.empty(len(row), _BIN)
    bins["bin"], bins["count"] = column + lowest, new[groups][row, column]
    edges = np.searchsorted(row, np.arange(len(groups) + 1))
    for i, group in enumerate(groups):
        yield int(group), bins[edges[i] : edges[i + 1]].tobytes()


def _widened(histogram: Histogram, lowest: int, width: int) -> NDArray[np.int64]:
    """Return the counts with columns for the bins [lowest, lowest + width)."""
    counts = np.zeros((GROUPS, width), np.int64)
    start = histogram.lowest - lowest
    counts[:, start : start + histogram.counts.shape[1]] = histogram.counts
    return counts


def _decode_histogram(rows: Mapping[int, bytes]) -> Histogram:
    bins = np.frombuffer(b"".join(rows.values()), _BIN)
    if not len(bins):
        return Histogram.empty()
    lowest, highest = int(bins["bin"].min()), int(bins["bin"].max())
    counts = np.zeros((GROUPS, highest - lowest + 1), np.int64)
    groups = np.repeat(list(rows), [len(row) // _BIN.itemsize for row in rows.values()])
    counts[groups, bins["bin"] - lowest] = bins["count"]
    return Histogram(lowest, counts)


_NOTHING = OutcomeAggregate(Cells.empty(), Histogram.empty())
