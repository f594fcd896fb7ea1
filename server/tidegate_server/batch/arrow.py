"""Arrow arrays as blocks of text and as lists: what needs pyarrow, of the extra `batch`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate_server.batch.blocks import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    PAD,
    TextBlock,
    block_in,
    block_of,
)
from tidegate_server.errors import ConfigurationError, InvalidField

try:
    import pyarrow as pa
except ImportError as error:
    raise ConfigurationError(
        "Arrow arrays need pyarrow, which is not installed: pip install 'tidegate[batch]'"
    ) from error


def string_chunks(unit_ids: Any) -> list[Any]:
    """Return an Arrow array of strings, of any layout, as arrays of `string` or `large_string`.

    Raises:
        InvalidField: it is no Arrow array, or one of something else.
    """
    chunked = chunked_array("unit_ids", unit_ids)
    kind = chunked.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(chunked.type) or pa.types.is_large_string(chunked.type):
        return list(chunked.chunks)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return list(chunked.cast(pa.large_string()).chunks)
    raise InvalidField("unit_ids", f"is an Arrow array of {kind}; cast it to pyarrow.string()")


def chunked_array(field: str, values: Any) -> Any:
    """Return anything that offers itself as an Arrow array, or as a stream of them.

    Raises:
        InvalidField: it offers neither.
    """
    if isinstance(values, pa.ChunkedArray):
        return values
    if hasattr(values, "__arrow_c_array__"):
        return pa.chunked_array([pa.array(values)])
    if hasattr(values, "__arrow_c_stream__"):
        return pa.chunked_array(values)
    raise InvalidField(field, f"is a {type(values).__name__}; give a numpy array or an Arrow array")


def dictionary_encoded(field: str, column: Any) -> tuple[list[Any], NDArray[np.intp]]:
    """Return an Arrow array's distinct values, the last None, and for each row its value's place.

    Raises:
        InvalidField: its values are lists or the like.
    """
    chunked = chunked_array(field, column)
    if pa.types.is_nested(chunked.type):
        raise InvalidField(field, f"is an Arrow array of {chunked.type}; give plain values")
    encoded = chunked.dictionary_encode().unify_dictionaries().combine_chunks()
    values = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    return [*values, None], codes.astype(np.intp)


def blocks(array: Any) -> Iterator[TextBlock]:
    """Return the rows of a `string` or `large_string` array in blocks, without decoding any."""
    offsets, text = _buffers(array)
    begin = 0
    while begin < len(array):
        end = min(begin + BLOCK_ROWS, len(array))
        while end - begin > 1 and offsets[end] - offsets[begin] > BLOCK_BYTES:
            end = begin + (end - begin) // 2
        yield _block(array.slice(begin, end - begin), offsets[begin : end + 1], text)
        begin = end


def _block(rows: Any, offsets: NDArray[Any], text: NDArray[np.uint8]) -> TextBlock:
    lengths = offsets[1:] - offsets[:-1]
    if rows.null_count:
        lengths[rows.is_null().to_numpy(zero_copy_only=False)] = 0
    first, last = int(offsets[0]), int(offsets[-1])
    starts, unit = offsets[:-1], lambda index: rows[index].as_py()
    words = text[: len(text) // 4 * 4].view("<u4")
    if words.flags.aligned and first >= PAD and last + PAD <= 4 * len(words):
        return block_in(words, 0, last - first, starts, lengths, unit)
    return block_of(text[first:last], starts, lengths, unit)


def _buffers(array: Any) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the offsets of an array's rows, one more than there are, and what they point into."""
    kind = np.int64 if pa.types.is_large_string(array.type) else np.int32
    _, offsets, text = array.buffers()
    if offsets is None or not len(array):
        return np.zeros(1, kind), np.zeros(0, np.uint8)
    found = np.frombuffer(offsets, kind, len(array) + 1, array.offset * np.dtype(kind).itemsize)
    return found, np.frombuffer(text or b"", np.uint8)
