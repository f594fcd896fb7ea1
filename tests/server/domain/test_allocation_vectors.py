"""The golden vectors of allocations, read by the rules of their README alone."""

import itertools
import json
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from tidegate.model import BUCKETS, PPM, Allocation, SplitShare
from tidegate_server.domain.allocation import Move, allocate, moves, reallocate

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "allocation.json").read_text(encoding="utf-8")
)
SEQUENCES = pytest.mark.parametrize(
    "steps", [each["steps"] for each in VECTORS["sequences"]], ids=lambda _: ""
)


def test_a_boundary_is_the_first_bucket_at_or_above_its_share() -> None:
    for vector in VECTORS["boundaries"]:
        assert vector["start"] == ceil(Fraction(vector["ppm"] * BUCKETS, PPM))


@SEQUENCES
def test_the_live_code_gives_the_allocations(steps: list[dict[str, Any]]) -> None:
    before: Allocation | None = None
    for step in steps:
        split = [SplitShare(share["variant"], share["share_ppm"]) for share in step["split"]]
        after = reallocate(before, split) if before else allocate(split)
        assert after == Allocation(tuple(step["starts"]), tuple(step["variants"]))
        moved: tuple[Move, ...] = moves(before, after) if before else ()
        assert [(move.source, move.target, move.ppm) for move in moved] == [
            (move["source"], move["target"], move["share_ppm"]) for move in step["moves"]
        ]
        before = after


@SEQUENCES
def test_every_allocation_is_what_its_split_asks_for(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        ends = [*step["starts"][1:], BUCKETS]
        buckets = {share["variant"]: 0 for share in step["split"]}
        for start, end, owner in zip(step["starts"], ends, step["variants"], strict=True):
            buckets[owner] += end - start
        ranges = len(step["starts"])
        for share in step["split"]:
            wanted = Fraction(share["share_ppm"] * BUCKETS, PPM)
            assert abs(buckets[share["variant"]] - wanted) < ranges


@SEQUENCES
def test_only_what_was_gained_moves(steps: list[dict[str, Any]]) -> None:
    for before, after in itertools.pairwise(steps):
        had = {share["variant"]: share["share_ppm"] for share in before["split"]}
        gained = sum(
            max(0, share["share_ppm"] - had.get(share["variant"], 0)) for share in after["split"]
        )
        assert sum(move["share_ppm"] for move in after["moves"]) == gained
