"""Allocations: exact shares, least movement, few ranges."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.model import BUCKETS, PPM, Allocation, SplitShare, VariantKey
from tidegate_server.domain.allocation import allocate, moves, reallocate, shares


def split(**ppm: int) -> tuple[SplitShare, ...]:
    return tuple(SplitShare(VariantKey(key), share) for key, share in ppm.items())


@st.composite
def splits(draw: st.DrawFn) -> tuple[SplitShare, ...]:
    keys = draw(st.lists(st.sampled_from("abcdefghij"), min_size=1, unique=True))
    cuts = draw(st.lists(st.integers(0, PPM), min_size=len(keys) - 1, max_size=len(keys) - 1))
    edges = [0, *sorted(cuts), PPM]
    return tuple(
        SplitShare(VariantKey(key), high - low)
        for key, low, high in zip(keys, edges, edges[1:], strict=False)
    )


def wanted(target: tuple[SplitShare, ...]) -> dict[VariantKey, int]:
    return {share.variant: share.ppm for share in target if share.ppm}


@given(st.lists(splits(), min_size=2, max_size=12))
def test_any_sequence_keeps_shares_exact_and_moves_only_what_it_must(
    sequence: list[tuple[SplitShare, ...]],
) -> None:
    allocation = allocate(sequence[0])
    for target in sequence[1:]:
        before = shares(allocation)
        changed = reallocate(allocation, target)
        after = shares(changed)
        assert after == wanted(target)
        assert changed.starts[0] == 0
        assert all(
            a < b < BUCKETS for a, b in zip(changed.starts, changed.starts[1:], strict=False)
        )
        gains = Counter(after) - Counter(before)
        losses = Counter(before) - Counter(after)
        passed = moves(allocation, changed)
        assert sum(move.ppm for move in passed) == sum(gains.values())
        assert all(move.source in losses and move.target in gains for move in passed)
        allocation = changed


@pytest.mark.parametrize(("variants", "most"), [(2, 3), (3, 12), (10, 37)])
def test_ranges_stay_few_over_two_thousand_random_changes(variants: int, most: int) -> None:
    rng = random.Random(7)
    keys = [f"v{number}" for number in range(variants)]

    def random_split() -> tuple[SplitShare, ...]:
        edges = [0, *sorted(rng.randint(0, PPM) for _ in keys[1:]), PPM]
        return split(**{k: b - a for k, a, b in zip(keys, edges, edges[1:], strict=False)})

    allocation, longest = allocate(random_split()), 0
    for _ in range(2_000):
        allocation = reallocate(allocation, random_split())
        longest = max(longest, len(allocation.starts))
    assert longest <= most


def test_ramp_back_and_forth_meets_the_same_units() -> None:
    at_5 = allocate(split(v1=950_000, v2=50_000))
    at_25 = reallocate(at_5, split(v1=750_000, v2=250_000))
    at_50 = reallocate(at_25, split(v1=500_000, v2=500_000))
    back = reallocate(at_50, split(v1=950_000, v2=50_000))
    assert back == at_5
    assert reallocate(back, split(v1=750_000, v2=250_000)) == at_25


def test_ninety_five_five_to_fifty_moves_forty_percent_out_of_the_first() -> None:
    old = allocate(split(a=900_000, b=50_000, c=50_000))
    new = reallocate(old, split(a=500_000, b=250_000, c=250_000))
    assert [(m.source, m.target, m.ppm) for m in moves(old, new)] == [
        ("a", "b", 200_000),
        ("a", "c", 200_000),
    ]


def test_removed_variant_gives_all_and_added_one_takes_from_the_shrinking() -> None:
    old = allocate(split(a=400_000, b=600_000))
    new = reallocate(old, split(a=400_000, c=600_000))
    assert [(m.source, m.target, m.ppm) for m in moves(old, new)] == [("b", "c", 600_000)]
    assert len(new.starts) == 2


def test_one_part_per_million_is_a_range_of_its_own() -> None:
    allocation = allocate(split(a=1, b=PPM - 1))
    assert allocation == Allocation((0, 4295), (VariantKey("a"), VariantKey("b")))
