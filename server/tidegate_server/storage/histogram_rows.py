"""Histograms as bytes: of each row the bins that hold values, in whichever form is shorter.

A row is one byte for its form, and then:

    1, 2, 4 or 8       for each bin, rising, its index as <i2 and its count in so many bytes
    the same | DENSE   the index of the first bin as <i2, then the counts of all bins up to the last

Counts are unsigned, little-endian and as short as the largest allows. A row without values is no
bytes at all. A row that fills up stays dense, and takes no more for bins that were empty.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DENSE = 0x80

_SIZES = np.array([1, 2, 4, 8], np.int64)
_LIMITS = np.array([1 << 8, 1 << 16, 1 << 32], np.int64)
_INDEX = np.dtype("<i2")

Bins = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Row, index and count of each bin that holds values, rising by row and index."""

_NO_BINS: Bins = (np.empty(0, np.int64),) * 3


def encode_rows(
    rows: int, row: NDArray[np.int64], index: NDArray[np.int64], count: NDArray[np.int64]
) -> list[bytes]:
    """Return the bytes of each row in [0, rows).

    row, index, count: shape (k,), one entry for each bin that holds values, rising by row and
    index; counts are > 0.
    """
    encoded = [b""] * rows
    begins = np.flatnonzero(np.diff(row, prepend=-1))
    if not begins.size:
        return encoded
    filled, bins = row[begins], np.diff(begins, append=row.size)
    size = _SIZES[np.searchsorted(_LIMITS, np.maximum.reduceat(count, begins), side="right")]
    width = index[begins + bins - 1] - index[begins] + 1
    is_dense = _INDEX.itemsize + width * size < bins * (_INDEX.itemsize + size)
    forms = np.where(is_dense, size | DENSE, size)
    form_of_bin = np.repeat(forms, bins)
    for form in np.unique(forms).tolist():
        those, chosen = forms == form, form_of_bin == form
        encode = _encode_dense if form & DENSE else _encode_sparse
        contents = encode(form & ~DENSE, bins[those], index[chosen], count[chosen])
        for each, content in zip(filled[those].tolist(), contents, strict=True):
            encoded[each] = bytes([form]) + content
    return encoded


def decode_rows(encoded: Sequence[bytes]) -> Bins:
    """Return the bins of all rows."""
    rows_of: dict[int, list[int]] = {}
    for place, each in enumerate(encoded):
        if each:
            rows_of.setdefault(each[0], []).append(place)
    columns = [
        (_decode_dense if form & DENSE else _decode_sparse)(
            form & ~DENSE, rows, [encoded[place][1:] for place in rows]
        )
        for form, rows in rows_of.items()
    ]
    if len(columns) == 1:
        return columns[0]
    row, index, count = (np.concatenate(each) for each in zip(_NO_BINS, *columns, strict=True))
    order = np.argsort(row, kind="stable")
    return row[order], index[order], count[order]


def _encode_sparse(
    size: int, bins: NDArray[np.int64], index: NDArray[np.int64], count: NDArray[np.int64]
) -> list[bytes]:
    """Return the bins of rows. bins: how many each has."""
    entries = np.empty(index.size, _entry(size))
    entries["bin"], entries["count"] = index, count
    return _pieces(entries.tobytes(), bins * entries.itemsize)


def _encode_dense(
    size: int, bins: NDArray[np.int64], index: NDArray[np.int64], count: NDArray[np.int64]
) -> list[bytes]:
    ends = np.cumsum(bins)
    first = index[ends - bins]
    width = index[ends - 1] - first + 1
    counts = np.zeros(int(width.sum()), f"<u{size}")
    counts[np.repeat(np.cumsum(width) - width - first, bins) + index] = count
    heads = _pieces(first.astype(_INDEX).tobytes(), np.full(first.size, _INDEX.itemsize))
    contents = _pieces(counts.tobytes(), width * size)
    return [head + content for head, content in zip(heads, contents, strict=True)]


def _decode_sparse(size: int, rows: Sequence[int], contents: Sequence[bytes]) -> Bins:
    entries = np.frombuffer(b"".join(contents), _entry(size))
    bins = [len(each) // entries.itemsize for each in contents]
    return (
        np.repeat(np.array(rows, np.int64), bins),
        entries["bin"].astype(np.int64),
        entries["count"].astype(np.int64),
    )


def _decode_dense(size: int, rows: Sequence[int], contents: Sequence[bytes]) -> Bins:
    head = _INDEX.itemsize
    first = np.frombuffer(b"".join(each[:head] for each in contents), _INDEX).astype(np.int64)
    counts = np.frombuffer(b"".join(each[head:] for each in contents), f"<u{size}")
    width = np.array([(len(each) - head) // size for each in contents], np.int64)
    row = np.repeat(np.array(rows, np.int64), width)
    index = np.arange(counts.size) + np.repeat(first - np.cumsum(width) + width, width)
    held = np.flatnonzero(counts)
    return row[held], index[held], counts[held].astype(np.int64)


def _entry(size: int) -> np.dtype[np.void]:
    return np.dtype([("bin", _INDEX), ("count", f"<u{size}")])


def _pieces(content: bytes, lengths: NDArray[np.int64]) -> list[bytes]:
    """Return consecutive parts of these lengths."""
    ends = np.cumsum(lengths)
    bounds = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    return [content[begin:end] for begin, end in bounds]
