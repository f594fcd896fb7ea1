"""Other legal encodings of a batch than the one that generated classes choose."""

import random
import struct
from collections.abc import Callable, Iterator

from tidegate.v1 import event_service_pb2

Batch = event_service_pb2.EventBatch

COLUMNS = {
    4: ("series_indexes", "<I"),
    5: ("unit_hashes", "<Q"),
    6: ("time_offsets_ms", "<i"),
    7: ("values", "<d"),
}


def varint(number: int, padding: int = 0) -> bytes:
    """A varint with `padding` bytes more than it needs."""
    number &= (1 << 64) - 1
    septets = bytearray()
    while number > 0x7F or padding:
        if number <= 0x7F:
            padding -= 1
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)


def field(number: int, content: bytes, padding: int = 0) -> bytes:
    """A field of wire type 2."""
    return varint(number << 3 | 2) + varint(len(content), padding) + content


def reencoded(batch: Batch, rng: random.Random) -> bytes:
    """The same batch, encoded in some legal way: the order of each repeated field is kept."""
    queues = [list(pieces(batch, number, rng)) for number in range(1, 12)]
    mixed = []
    while any(queues):
        queue = rng.choice([each for each in queues if each])
        mixed.append(queue.pop(0))
    return b"".join(mixed)


def pieces(batch: Batch, number: int, rng: random.Random) -> Iterator[bytes]:
    """The fields of one number, in order."""
    padded: Callable[[int, bytes], bytes] = lambda n, content: field(n, content, rng.choice([0, 2]))  # noqa: E731
    match number:
        case 1:
            for _ in range(rng.randrange(3)):
                yield padded(1, rng.randbytes(rng.randrange(20)))
            yield padded(1, batch.batch_id)
        case 2:
            yield from (padded(2, each.SerializeToString()) for each in batch.series)
        case 3 | 10:
            for _ in range(rng.randrange(3)):
                yield varint(number << 3) + varint(rng.getrandbits(64))
            value = batch.base_time_ms if number == 3 else batch.format
            yield varint(number << 3) + varint(value)
        case 8:
            yield from (padded(8, each.encode()) for each in batch.unit_ids)
        case 9:
            yield from (padded(9, each.SerializeToString()) for each in batch.dropped_events)
        case 11:
            yield from (unknown(rng) for _ in range(rng.randrange(4)))
        case _:
            yield from column(batch, number, rng)


def column(batch: Batch, number: int, rng: random.Random) -> Iterator[bytes]:
    """A column in pieces, each packed or entry by entry."""
    name, form = COLUMNS[number]
    entries = [struct.pack(form, each) for each in getattr(batch, name)]
    while entries:
        size = rng.randrange(len(entries) + 1)
        piece, entries = entries[:size], entries[size:]
        if rng.random() < 0.5:
            yield field(number, b"".join(piece))
        else:
            kind = 5 if struct.calcsize(form) == 4 else 1
            yield b"".join(varint(number << 3 | kind) + each for each in piece)


def unknown(rng: random.Random) -> bytes:
    """A field that no release knows yet."""
    number = rng.choice([11, 100, (1 << 29) - 1])
    match rng.randrange(4):
        case 0:
            return varint(number << 3) + varint(rng.getrandbits(64))
        case 1:
            return varint(number << 3 | 1) + rng.randbytes(8)
        case 2:
            return field(number, rng.randbytes(rng.randrange(50)))
        case _:
            return varint(number << 3 | 5) + rng.randbytes(4)
