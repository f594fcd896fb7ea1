import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.storage.samples import assert_same, random_arm
from tidegate_server.analysis.aggregates import (
    BITMAP_BITS,
    CELLS,
    GROUPS,
    ArmAggregate,
    Cells,
    Histogram,
    OutcomeAggregate,
)
from tidegate_server.errors import ConfigurationError
from tidegate_server.storage.aggregate_codec import decode, encode_changes, encode_units

seeds = st.integers(0, 2**32 - 1)
names = st.lists(
    st.sampled_from(["latency_ms", "error", "units", "meta", "a.b-c_d", ".", "_"]), unique=True
)


def stored(*fields: dict[str, bytes]) -> dict[bytes, bytes]:
    """What a hash holds after these writes."""
    return {key.encode(): value for each in fields for key, value in each.items()}


def written(units: bytes, before: ArmAggregate, after: ArmAggregate) -> bytes:
    """What the string of a bitmap holds after this write."""
    changes, whole = encode_units(before, after)
    if whole:
        return whole
    bitmap = bytearray(units)
    for place, byte in struct.iter_unpack("<IB", changes):
        bitmap.extend(bytes(max(0, place + 1 - len(bitmap))))
        bitmap[place] = byte
    return bytes(bitmap)


@settings(max_examples=30, deadline=None)
@given(seeds, names)
def test_an_aggregate_comes_back(seed: int, outcomes: list[str]) -> None:
    arm = random_arm(np.random.default_rng(seed), outcomes)
    empty = ArmAggregate.empty()
    assert_same(decode(stored(encode_changes(empty, arm)), written(b"", empty, arm)), arm)


@settings(max_examples=30, deadline=None)
@given(seeds, names, names)
def test_changes_lead_from_one_aggregate_to_the_next(
    seed: int, some: list[str], others: list[str]
) -> None:
    rng = np.random.default_rng(seed)
    before = random_arm(rng, some)
    after = random_arm(rng, some + [name for name in others if name not in some])
    if some:
        after = replace(after, units=few_more(rng, before.units))
    empty = ArmAggregate.empty()
    fields = stored(encode_changes(empty, before), encode_changes(before, after))
    units = written(written(b"", empty, before), before, after)
    assert_same(decode(fields, units), after)


def few_more(rng: np.random.Generator, units: np.ndarray) -> np.ndarray:
    more = units.copy()
    more.reshape(-1)[rng.integers(0, units.size, 50)] |= 17
    return more


def test_nothing_is_written_when_nothing_changed() -> None:
    rng = np.random.default_rng(1)
    arm = random_arm(rng)
    outcome = arm.outcomes["latency_ms"]
    padded = Histogram(
        outcome.histogram.lowest - 3, np.pad(outcome.histogram.counts, ((0, 0), (3, 2)))
    )
    same = replace(arm, outcomes={"latency_ms": OutcomeAggregate(outcome.cells, padded)})
    assert encode_changes(arm, same) == {}
    assert encode_units(arm, same) == (b"", b"")
    assert encode_changes(ArmAggregate.empty(), ArmAggregate.empty()) == {}


def test_only_rows_that_changed_are_written() -> None:
    before = random_arm(np.random.default_rng(1))
    units = before.units.copy()
    units[5, 100] ^= 1
    counts = before.outcomes["latency_ms"].histogram.counts.copy()
    counts[63, 0] += 1
    histogram = Histogram(before.outcomes["latency_ms"].histogram.lowest, counts)
    cells = before.outcomes["latency_ms"].cells
    total = cells.total.copy()
    total[8] += 1
    outcome = OutcomeAggregate(replace(cells, total=total), histogram)
    after = replace(before, units=units, outcomes={"latency_ms": outcome})
    assert encode_changes(before, after).keys() == {"latency_ms/2", "latency_ms/63"}
    place = 5 * BITMAP_BITS // 8 + 100
    assert encode_units(before, after) == (struct.pack("<IB", place, units[5, 100]), b"")


def test_no_fields_are_no_events() -> None:
    assert_same(decode({}, b""), ArmAggregate.empty())


def test_a_group_without_events_has_no_field() -> None:
    counts, total = np.zeros(CELLS, np.int64), np.zeros(CELLS)
    counts[30], total[30] = 2, 5.0
    rows = np.zeros((GROUPS, 2), np.int64)
    rows[7] = 1
    outcome = OutcomeAggregate(Cells(counts, total, np.zeros(CELLS)), Histogram(-1, rows))
    one = replace(ArmAggregate.empty(), outcomes={"latency_ms": outcome})
    assert encode_changes(ArmAggregate.empty(), one).keys() == {"latency_ms/7"}


def test_an_outcome_without_histogram_comes_back() -> None:
    arm = random_arm(np.random.default_rng(1))
    outcome = OutcomeAggregate(arm.outcomes["latency_ms"].cells, Histogram.empty())
    bare = replace(arm, outcomes={"latency_ms": outcome})
    fields = stored(encode_changes(ArmAggregate.empty(), bare))
    assert_same(decode(fields, bare.units.tobytes()), bare)


def test_counts_beyond_64_bits_are_held_at_the_limit() -> None:
    arm = replace(ArmAggregate.empty(), dropped=2**70)
    fields = stored(encode_changes(ArmAggregate.empty(), arm))
    assert decode(fields, b"").dropped == 2**63 - 1


def test_a_later_format_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="format 3"):
        decode({b"meta": b"\x03\x00" + bytes(40)}, b"")
