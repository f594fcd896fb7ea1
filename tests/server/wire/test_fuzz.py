"""Damaged batches: refused as such, or all that is right in them is kept."""

import random
from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.storage.samples import TIME_MS, message
from tests.server.wire.encodings import Batch, field, varint
from tidegate_server.domain.intake import END_MS, Sifted, Times, sift
from tidegate_server.errors import InvalidField
from tidegate_server.wire.batch import Batch as Decoded
from tidegate_server.wire.batch import decode, decode_batch, encode_kept
from tidegate_server.wire.protobuf import embedded

TIMES = Times.around(TIME_MS)


def sample() -> Batch:
    batch = message({"": [1, 1], "latency_ms": [12.5, -3.0, 0.0]}, batch_id=bytes(16), dropped=4)
    batch.unit_ids.extend(["anna", "bert", "Zoë"])
    return batch


def sifted(decoded: Decoded) -> Sifted:
    """What can be stored where every arm is known; it can be read again, and nothing is lost."""
    sent = decoded.sent
    found = sift(sent, [""] * len(sent.arms), decoded.wrong_unit_ids(), TIMES)
    assert len(found.kept) + found.refused_count == len(sent.columns.value)
    assert all(each.reason.count(": ") >= 1 for each in found.refused)
    if not len(found.kept) and not found.dropped:
        return found
    batch_id, events = decode_batch(encode_kept(decoded, found.kept, found.dropped))
    assert batch_id == decoded.batch_id
    assert np.isfinite(events.value).all()
    assert ((events.time_ms >= 0) & (events.time_ms < END_MS)).all()
    assert np.array_equal(events.value, sent.columns.value[found.kept])
    assert np.array_equal(events.unit_hash, sent.columns.unit_hash[found.kept])
    assert np.array_equal(events.time_ms, sent.columns.time_ms[found.kept])
    assert [events.series[index] for index in events.series_index] == [
        sent.series[index].series for index in sent.columns.series_index[found.kept]
    ]
    assert events.dropped == found.dropped
    return found


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(payload: bytes) -> None:
    for read in (decode, lambda data: decode(embedded(data, 1))):
        try:
            read(payload)
        except InvalidField:
            continue
        raise AssertionError


Mutation = Callable[[bytearray, int, random.Random], None]


def flip(payload: bytearray, at: int, rng: random.Random) -> None:
    payload[at] ^= 1 << rng.randrange(8)


def overwrite(payload: bytearray, at: int, rng: random.Random) -> None:
    payload[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])


def cut(payload: bytearray, at: int, rng: random.Random) -> None:
    del payload[at : at + rng.randrange(1, 9)]


def truncate(payload: bytearray, at: int, rng: random.Random) -> None:
    del payload[at:]


def insert(payload: bytearray, at: int, rng: random.Random) -> None:
    payload[at:at] = rng.randbytes(rng.randrange(1, 9))


def insert_number(payload: bytearray, at: int, rng: random.Random) -> None:
    payload[at:at] = varint(rng.choice([0, 1, -1, 1 << 31, 1 << 63, rng.getrandbits(64)]))


def insert_field(payload: bytearray, at: int, rng: random.Random) -> None:
    payload[at:at] = field(rng.randrange(1, 12), rng.randbytes(rng.randrange(40)))


def repeat_part(payload: bytearray, at: int, rng: random.Random) -> None:
    payload[at:at] = payload[at : at + rng.randrange(1, 60)]


MUTATIONS: list[Mutation] = [
    flip,
    overwrite,
    cut,
    truncate,
    insert,
    insert_number,
    insert_field,
    repeat_part,
]


def mutated(payload: bytes, rng: random.Random, times: int) -> bytes:
    damaged = bytearray(payload)
    for _ in range(times):
        if damaged:
            rng.choice(MUTATIONS)(damaged, rng.randrange(len(damaged)), rng)
    return bytes(damaged)


@settings(max_examples=1_500, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_a_mutated_batch_is_refused_or_sifted(seed: int, times: int) -> None:
    payload = mutated(sample().SerializeToString(), random.Random(seed), times)
    try:
        decoded = decode(payload)
    except InvalidField:
        return
    sifted(decoded)
    try:
        decode_batch(payload)  # as the worker would
    except InvalidField:
        return


WRONG_VALUES = [float("nan"), float("inf"), -float("inf"), 1.1e100, -2e100]
WRONG_OFFSETS = [2**31 - 1, 3_600_001]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300))
def test_exactly_the_wrong_events_are_refused(seed: int, count: int) -> None:
    rng = random.Random(seed)
    exposures = rng.randrange(count + 1)
    batch = message({"": [1] * exposures, "x": [rng.gauss(0, 1) for _ in range(count - exposures)]})
    batch.time_offsets_ms[:] = [rng.randrange(-1_000, 1_000) for _ in range(count)]
    wrong = {at: rng.choice(["index", "value", "exposure", "time"]) for at in some(rng, count)}
    for at, what in wrong.items():
        match what:
            case "index":
                batch.series_indexes[at] = rng.choice([2, 3, 2**31, 2**32 - 1])
            case "value":
                batch.values[at] = rng.choice(WRONG_VALUES)
            case "exposure":
                batch.series_indexes[at], batch.values[at] = 0, rng.choice([0, 2, 1.0000001])
            case _:
                batch.time_offsets_ms[at] = rng.choice(WRONG_OFFSETS)
    found = sifted(decode(batch.SerializeToString()))
    assert found.kept.tolist() == [at for at in range(count) if at not in wrong]
    assert [each.index for each in found.refused] == sorted(wrong)[:100]
    for each in found.refused:
        begin = {"index": "series_indexes", "time": "time_offsets_ms"}.get(
            wrong[each.index], "values"
        )
        assert each.reason.startswith(f"{begin}[{each.index}]: ")
    counted = sum(what != "index" for what in wrong.values())
    assert sum(found.dropped.values()) == counted, "what has an arm is counted as lost"


def some(rng: random.Random, count: int) -> list[int]:
    return rng.sample(range(count), rng.randrange(min(count, 150) + 1))
