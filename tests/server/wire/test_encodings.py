"""Every legal encoding of a batch is decoded to what the generated class reads."""

import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.wire.encodings import Batch, field, reencoded, varint
from tidegate.model import FlagKey, Phase, VariantKey
from tidegate.v1 import event_service_pb2
from tidegate_server.domain.events import Arm
from tidegate_server.domain.intake import END_MS
from tidegate_server.errors import InvalidField
from tidegate_server.wire.batch import decode
from tidegate_server.wire.protobuf import embedded
from tidegate_server.wire.unit_ids import read_ids

KEYS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
PHASES = st.integers(1, 2**63 - 1)
SERIES = st.builds(
    event_service_pb2.Series,
    flag_key=KEYS,
    variant=KEYS,
    phase=PHASES,
    outcome=KEYS | st.just(""),
    version_id=st.sampled_from(["", "0123456789abcdef"]),
    outside_split=st.booleans(),
)
DROPPED = st.builds(
    event_service_pb2.DroppedEvents,
    flag_key=KEYS,
    variant=KEYS,
    phase=PHASES,
    count=st.integers(1, 10**9),
)
EVENTS = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.floats(),
)
UNIT_IDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=150
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    events = draw(st.lists(EVENTS, max_size=30))
    return Batch(
        batch_id=draw(st.binary(min_size=16, max_size=16)),
        series=draw(st.lists(SERIES, max_size=4)),
        base_time_ms=draw(st.integers(-(2**31), END_MS + 2**31 - 1)),
        series_indexes=[event[0] for event in events],
        unit_hashes=[event[1] for event in events],
        time_offsets_ms=[event[2] for event in events],
        values=[event[3] for event in events],
        unit_ids=draw(st.lists(UNIT_IDS, max_size=6)),
        dropped_events=draw(st.lists(DROPPED, min_size=not events, max_size=3)),
        format=draw(st.integers(0, 1)),
    )


@settings(max_examples=300, deadline=None)
@given(batches(), st.integers(0, 2**32))
def test_every_legal_encoding_is_read_alike(batch: Batch, seed: int) -> None:
    payload = reencoded(batch, random.Random(seed))
    message = Batch.FromString(payload)
    message.DiscardUnknownFields()
    assert message.SerializeToString() == batch.SerializeToString(), "it is another encoding of it"
    decoded = decode(payload)
    columns = decoded.sent.columns
    assert decoded.batch_id == batch.batch_id
    assert decoded.fields.format == batch.format
    assert columns.series_index.tolist() == list(batch.series_indexes)
    assert columns.unit_hash.tolist() == list(batch.unit_hashes)
    assert columns.time_ms.tolist() == [batch.base_time_ms + each for each in batch.time_offsets_ms]
    exact = struct.pack(f"<{len(batch.values)}d", *batch.values)
    assert np.array_equal(columns.value, np.frombuffer(exact), equal_nan=True)
    assert [(each.series and (each.series.outcome, each.arm)) for each in decoded.sent.series] == [
        (each.outcome, arm(each, outside_split=each.outside_split)) for each in batch.series
    ]
    assert [(each.arm, each.count) for each in decoded.sent.dropped] == [
        (arm(each), each.count) for each in batch.dropped_events
    ]
    assert read_ids(payload, decoded.fields.unit_ids) == (list(batch.unit_ids), [])


def arm(
    message: event_service_pb2.Series | event_service_pb2.DroppedEvents,
    *,
    outside_split: bool = False,
) -> Arm:
    return Arm(
        FlagKey(message.flag_key), Phase(message.phase), VariantKey(message.variant), outside_split
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(0, 2**32))
def test_a_message_in_pieces_is_their_sequence(parts: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    request = b"".join(field(rng.choice([2, 9]), b"skip") + field(1, part, 1) for part in parts)
    assert embedded(request, 1) == b"".join(parts)


WHOLE = Batch(
    batch_id=bytes(16), dropped_events=[event_service_pb2.DroppedEvents(count=1)]
).SerializeToString()

MALFORMED = {
    "a group": b"\x5b\x5c",
    "the end of a group": b"\x5c",
    "wire type 6": b"\x5e\x00",
    "wire type 7": b"\x5f\x00",
    "field 0": b"\x00\x00",
    "a field number of 33 bits": varint(1 << 33) + b"\x00",
    "a tag of 6 bytes": varint(11 << 3, 5) + b"\x00",
    "a varint of 11 bytes": b"\x58" + b"\x80" * 10 + b"\x00",
    "a varint of 65 bits": b"\x58" + b"\xff" * 9 + b"\x02",
    "a varint without an end": b"\x58\x80\x80",
    "no varint": b"\x58",
    "a length beyond the end": b"\x5a\x7f",
    "a length of 2^63": b"\x5a" + varint(1 << 63),
    "no length": b"\x5a",
    "half a fixed64": b"\x59" + bytes(7),
    "half a fixed32": b"\x5d" + bytes(3),
    "values as varints": b"\x38\x01",
    "indexes as fixed64": b"\x21" + bytes(8),
    "a time that is text": b"\x1a\x01a",
    "a number as the id": b"\x08\x01",
    "half a value": field(7, bytes(7)),
    "three bytes of an index": field(4, bytes(3)),
    "a series that is none": field(2, b"\xff"),
    "dropped events that are none": field(9, b"\x0a\x7f"),
    "a series whose text is no UTF-8": field(2, field(1, b"\xff")),
}


@pytest.mark.parametrize("tail", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_refused(tail: bytes) -> None:
    decode(WHOLE)
    with pytest.raises(InvalidField):
        decode(WHOLE + tail)


def test_more_fields_than_a_batch_can_have_are_refused() -> None:
    with pytest.raises(InvalidField, match="has more than 500,000 fields"):
        decode(b"\x58\x00" * 500_001)
    with pytest.raises(InvalidField, match="has more than 500,000 fields"):
        embedded(b"\x58\x00" * 500_001, 1)
    assert decode(WHOLE + b"\x58\x00" * 400_000).batch_id == bytes(16)


def test_fifty_thousand_plain_unit_ids_and_no_more() -> None:
    ids = Batch(unit_ids=["u"] * 50_000).SerializeToString()
    payload = WHOLE + ids
    assert len(read_ids(payload, decode(payload).fields.unit_ids)[0]) == 50_000
    with pytest.raises(InvalidField, match="unit_ids: there are more than 50,000"):
        decode(WHOLE + ids + field(8, b"u"))
