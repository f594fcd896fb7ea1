"""Ids of units as blocks of UTF-8 text, whatever array they come in.

A block is small enough to stay in a processor's cache while it is hashed, and large enough that
numpy's calls don't count.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.bucketing import LONGEST_UNIT_ID, plain_unit_id
from tidegate_server.errors import InvalidField

BLOCK_ROWS = 1 << 14
BLOCK_BYTES = 1 << 20
"""Most text of a block, but for a block of one row."""

PAD = 4
"""Bytes before and behind a block's text, so that a whole word can be read at its edges."""


@dataclass(frozen=True, slots=True, eq=False)
class TextBlock:
    """Some rows as UTF-8: row i begins at starts[i] + shift and has lengths[i] bytes.

    `words` is the text, as words of four bytes, with at least PAD more bytes on either side. A row
    of length 0 is no valid id, or one of the `long` rows: those of more than LONGEST_UNIT_ID bytes,
    whose text is not looked at. `uniform` tells that all rows have one length and follow each
    other. `unit(i)` is row i as it was given.
    """

    words: NDArray[np.uint32]
    starts: NDArray[np.integer[Any]]
    shift: int
    lengths: NDArray[np.int32]
    long: NDArray[np.intp]
    uniform: bool
    unit: Callable[[int], Any]


def read_blocks(unit_ids: Any) -> tuple[int, Iterator[TextBlock]]:
    """Return the number of rows, and the rows in blocks.

    Raises:
        InvalidField: it is no array of strings of one dimension.
        ConfigurationError: it is an Arrow array, and pyarrow is not installed.
    """
    if isinstance(unit_ids, np.ndarray):
        _check_numpy(unit_ids)
        return len(unit_ids), _numpy_blocks(unit_ids)
    from tidegate_server.batch import arrow  # an optional dependency

    chunks = arrow.string_chunks(unit_ids)
    rows = sum(len(chunk) for chunk in chunks)
    return rows, (block for chunk in chunks for block in arrow.blocks(chunk))


def block_of(
    text: NDArray[np.uint8],
    starts: NDArray[np.integer[Any]],
    lengths: NDArray[np.integer[Any]],
    unit: Callable[[int], Any],
) -> TextBlock:
    """Return at least one row as a block; `text` is copied, and begins with the first row."""
    words = np.empty(len(text) // 4 + 3, "<u4")
    words.view(np.uint8)[PAD : PAD + len(text)] = text
    return block_in(words, PAD - int(starts[0]), len(text), starts, lengths, unit)


def block_in(
    words: NDArray[np.uint32],
    shift: int,
    size: int,
    starts: NDArray[np.integer[Any]],
    lengths: NDArray[np.integer[Any]],
    unit: Callable[[int], Any],
) -> TextBlock:
    """Return at least one row, of `size` bytes in all, as a block; see TextBlock for the rest."""
    long = np.flatnonzero(lengths > LONGEST_UNIT_ID)
    if len(long):
        lengths = lengths.copy()
        lengths[long] = 0
    first = lengths[0]
    uniform = bool(first * len(lengths) == size and (lengths == first).all())
    return TextBlock(words, starts, shift, lengths.astype(np.int32), long, uniform, unit)


def _check_numpy(array: NDArray[Any]) -> None:
    if array.ndim != 1:
        raise InvalidField("unit_ids", f"has {array.ndim} dimensions; give an array of one")
    if array.dtype.kind not in "UTO":
        raise InvalidField(
            "unit_ids", f"has the type {array.dtype}; give strings, such as unit_ids.astype(str)"
        )


def _numpy_blocks(array: NDArray[Any]) -> Iterator[TextBlock]:
    for begin in range(0, len(array), BLOCK_ROWS):
        rows = array[begin : begin + BLOCK_ROWS]
        yield (_fixed_width_block(rows) if rows.dtype.kind == "U" else None) or _list_block(rows)


def _fixed_width_block(rows: NDArray[Any]) -> TextBlock | None:
    """Return a block of numpy's fixed-width strings; None where one is not ASCII."""
    width = rows.dtype.itemsize // 4
    if not 0 < width * len(rows) <= BLOCK_BYTES:
        return None
    codes = np.ascontiguousarray(rows).view("=u4" if rows.dtype.isnative else ">u4")
    if int(np.bitwise_or.reduce(codes)) >= 128:
        return None
    lengths = np.strings.str_len(rows)
    return block_of(codes.astype(np.uint8), np.arange(len(rows)) * width, lengths, rows.item)


def _list_block(rows: NDArray[Any]) -> TextBlock:
    texts = rows.tolist()
    if set(map(type, texts)) == {str} and (joined := "".join(texts)).isascii():
        lengths = np.fromiter(map(len, texts), np.intp, len(texts))
        encoded = joined.encode()
    else:
        parts = [_encoded(text) for text in texts]
        lengths = np.fromiter(map(len, parts), np.intp, len(parts))
        encoded = b"".join(parts)
    starts = np.cumsum(lengths) - lengths
    return block_of(np.frombuffer(encoded, np.uint8), starts, lengths, texts.__getitem__)


def _encoded(unit_id: object) -> bytes:
    """Return an id as UTF-8, empty where it is no valid one."""
    text = plain_unit_id(unit_id)
    return b"" if text is None else text.encode()
