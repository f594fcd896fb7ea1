"""Histograms as bytes: of each row the bins that hold values, their counts as short as they can be.

A row is one byte, the size of a count (1, 2, 4 or 8), and then for each bin, rising, its index as
<i2 and its count as an unsigned little-endian number. A row without values is no bytes at all.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SIZES = (1, 2, 4, 8)
_LIMITS = np.array([1 << 8, 1 << 16, 1 << 32], np.int64)
_BINS = {size: np.dtype([("bin", "<i2"), ("count", f"<u{size}")]) for size in _SIZES}


def encode_rows(
    rows: int, row: NDArray[np.int64], index: NDArray[np.int64], count: NDArray[np.int64]
) -> list[bytes]:
    """Return the bytes of each row in [0, rows).

    row, index, count: shape (k,), one entry for each bin that holds values, rising by row and
    index; counts are > 0.
    """
    encoded = [b""] * rows
    starts = np.searchsorted(row, np.arange(rows))
    filled = np.flatnonzero(np.diff(starts, append=row.size))
    if not filled.size:
        return encoded
    size_of_row = np.zeros(rows, np.int64)
    largest = np.maximum.reduceat(count, starts[filled])
    size_of_row[filled] = np.searchsorted(_LIMITS, largest, side="right")
    for place in np.unique(size_of_row[filled]):
        size = _SIZES[place]
        chosen = size_of_row[row] == place
        bins = np.empty(int(chosen.sum()), _BINS[size])
        bins["bin"], bins["count"] = index[chosen], count[chosen]
        content, head = bins.tobytes(), bytes([size])
        those = filled[size_of_row[filled] == place]
        ends = np.searchsorted(row[chosen], those, side="right") * bins.itemsize
        for each, start, end in zip(those, [0, *ends[:-1]], ends, strict=True):
            encoded[each] = head + content[start:end]
    return encoded


def decode_rows(
    encoded: Sequence[bytes],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return row, index and count of each bin that holds values, rising by row and index."""
    columns = [_decode_size(encoded, size) for size in _SIZES]
    row, index, count = (np.concatenate(each) for each in zip(*columns, strict=True))
    order = np.argsort(row, kind="stable")
    return row[order], index[order], count[order]


def _decode_size(
    encoded: Sequence[bytes], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    rows = [i for i, each in enumerate(encoded) if each and each[0] == size]
    bins = np.frombuffer(b"".join(encoded[i][1:] for i in rows), _BINS[size])
    lengths = [len(encoded[i]) // bins.itemsize for i in rows]
    return (
        np.repeat(np.array(rows, np.int64), np.array(lengths, np.int64)),
        bins["bin"].astype(np.int64),
        bins["count"].astype(np.int64),
    )
