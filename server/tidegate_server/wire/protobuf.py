"""Protobuf's encoding, read strictly and in place: where the fields of a message lie.

Source: https://protobuf.dev/programming-guides/encoding. Groups (wire types 3 and 4) and the unused
wire types 6 and 7 are refused.
"""

from tidegate_server.errors import InvalidField

MOST_FIELDS = 500_000
"""Most fields of a message: columns of 50,000 events that come unpacked, and all else, have fewer.
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""

_WIDTHS = {FIXED64: 8, FIXED32: 4}
_MOST_VARINT_BYTES = 10
_MOST_TAG_BYTES = 5


def next_field(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Return the field that begins at a position: number, wire type, begin and end of its content.

    The content of a VARINT is the varint, that of BYTES lies behind its length. `at` is below the
    length of `data`, and so is nothing but the end, which may be equal to it.

    Raises:
        InvalidField: no field begins there, or it reaches beyond the end.
    """
    tag = data[at]
    begin = at + 1
    if tag & 0x80:
        tag, begin = read_varint(data, at)
        if begin - at > _MOST_TAG_BYTES or tag >> 32:
            raise _malformed(at, "has a field number out of range")
    kind = tag & 7
    if kind == BYTES:
        size = data[begin] if begin < len(data) else 0x80
        if size < 0x80:
            begin += 1
        else:
            size, begin = read_varint(data, begin)
        end = begin + size
    elif kind == VARINT:
        _, end = read_varint(data, begin)
    elif kind in _WIDTHS:
        end = begin + _WIDTHS[kind]
    else:
        raise _malformed(at, f"has a field of wire type {kind}, which is not in use")
    if end > len(data):
        raise _malformed(at, f"ends {end - len(data):,} bytes before its field does")
    if tag < 8:
        raise _malformed(at, "has a field of number 0")
    return tag >> 3, kind, begin, end


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned number, below 2^64, that begins at a position, and the position behind.

    Raises:
        InvalidField: it does not end, or is too large.
    """
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    number = 0
    for index, byte in enumerate(data[at : at + _MOST_VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if number >> 64:
                raise _malformed(at, "has a number of more than 64 bits")
            return number, at + index + 1
    raise _malformed(at, "has a number that does not end")


def signed(number: int, bits: int) -> int:
    """Return what the lowest bits of a varint mean as a number in two's complement."""
    low = number & ((1 << bits) - 1)
    return low - (1 << bits) if low >> (bits - 1) else low


def embedded(data: bytes, number: int) -> bytes:
    """Return the serialized message in field `number`; one that comes in pieces is their sequence.

    Raises:
        InvalidField: `data` is no message, or has something else there.
    """
    pieces = []
    at, count = 0, 0
    while at < len(data):
        found, kind, begin, at = next_field(data, at)
        count += 1
        check_count(count)
        if found == number:
            if kind != BYTES:
                raise _malformed(begin, f"has no message in field {number}")
            pieces.append(data[begin:at])
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def check_count(fields: int) -> None:
    """Check the number of fields that were found in a message so far.

    Raises:
        InvalidField: there are too many.
    """
    if fields > MOST_FIELDS:
        raise InvalidField("batch", f"has more than {MOST_FIELDS:,} fields; pack the columns")


def _malformed(at: int, problem: str) -> InvalidField:
    return InvalidField("batch", f"is no tidegate.v1.EventBatch: byte {at:,} {problem}")
