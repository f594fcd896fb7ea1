from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.storage.samples import assert_same, random_arm
from tidegate_server.analysis.aggregates import (
    GROUPS,
    ArmAggregate,
    Histogram,
    OutcomeAggregate,
)
from tidegate_server.errors import ConfigurationError
from tidegate_server.storage.aggregate_codec import decode, encode_changes

seeds = st.integers(0, 2**32 - 1)
names = st.lists(
    st.sampled_from(["latency_ms", "error", "units", "meta", "a.b-c_d", ".", "_"]), unique=True
)


def stored(*fields: dict[str, bytes]) -> dict[bytes, bytes]:
    """What a hash holds after these writes."""
    return {key.encode(): value for each in fields for key, value in each.items()}


@settings(max_examples=30, deadline=None)
@given(seeds, names)
def test_an_aggregate_comes_back(seed: int, outcomes: list[str]) -> None:
    arm = random_arm(np.random.default_rng(seed), outcomes)
    assert_same(decode(stored(encode_changes(ArmAggregate.empty(), arm))), arm)


@settings(max_examples=30, deadline=None)
@given(seeds, names, names)
def test_changes_lead_from_one_aggregate_to_the_next(
    seed: int, some: list[str], others: list[str]
) -> None:
    rng = np.random.default_rng(seed)
    before = random_arm(rng, some)
    after = random_arm(rng, some + [name for name in others if name not in some])
    fields = stored(encode_changes(ArmAggregate.empty(), before), encode_changes(before, after))
    assert_same(decode(fields), after)


def test_nothing_is_written_when_nothing_changed() -> None:
    rng = np.random.default_rng(1)
    arm = random_arm(rng)
    outcome = arm.outcomes["latency_ms"]
    padded = Histogram(
        outcome.histogram.lowest - 3, np.pad(outcome.histogram.counts, ((0, 0), (3, 2)))
    )
    same = replace(arm, outcomes={"latency_ms": OutcomeAggregate(outcome.cells, padded)})
    assert encode_changes(arm, same) == {}
    assert encode_changes(ArmAggregate.empty(), ArmAggregate.empty()) == {}


def test_only_rows_that_changed_are_written() -> None:
    before = random_arm(np.random.default_rng(1))
    units = before.units.copy()
    units[5, 100] ^= 1
    counts = before.outcomes["latency_ms"].histogram.counts.copy()
    counts[63, 0] += 1
    histogram = Histogram(before.outcomes["latency_ms"].histogram.lowest, counts)
    outcome = OutcomeAggregate(before.outcomes["latency_ms"].cells, histogram)
    after = replace(before, units=units, outcomes={"latency_ms": outcome})
    assert encode_changes(before, after).keys() == {"units:5", "latency_ms/hist:63"}


def test_no_fields_are_no_events() -> None:
    assert_same(decode({}), ArmAggregate.empty())


def test_an_empty_row_of_a_histogram_has_no_field() -> None:
    arm = random_arm(np.random.default_rng(1))
    outcome = arm.outcomes["latency_ms"]
    counts = np.zeros((GROUPS, 2), np.int64)
    counts[7] = 1
    one = replace(
        arm, outcomes={"latency_ms": OutcomeAggregate(outcome.cells, Histogram(-1, counts))}
    )
    fields = encode_changes(ArmAggregate.empty(), one)
    assert [key for key in fields if "hist" in key] == ["latency_ms/hist:7"]


def test_an_outcome_without_histogram_comes_back() -> None:
    arm = random_arm(np.random.default_rng(1))
    outcome = OutcomeAggregate(arm.outcomes["latency_ms"].cells, Histogram.empty())
    bare = replace(arm, outcomes={"latency_ms": outcome})
    assert_same(decode(stored(encode_changes(ArmAggregate.empty(), bare))), bare)


def test_counts_beyond_64_bits_are_held_at_the_limit() -> None:
    arm = replace(ArmAggregate.empty(), dropped=2**70)
    assert decode(stored(encode_changes(ArmAggregate.empty(), arm))).dropped == 2**63 - 1


def test_a_later_format_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="format 2"):
        decode({b"meta": b"\x02\x00" + bytes(40)})
