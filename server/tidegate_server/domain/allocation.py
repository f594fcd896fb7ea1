"""Allocations: which buckets belong to which variant, changed with as little movement as can be.

Ranges are worked on in parts per million and stored in buckets; the two are equivalent, since a
range that begins at p ppm starts at the first bucket b with floor(b * PPM / BUCKETS) >= p.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.model import BUCKETS, PPM, Allocation, SplitShare, VariantKey


@dataclass(frozen=True, slots=True)
class Move:
    """Units that go from one variant to another: `ppm` of all units, in [1, PPM]."""

    source: VariantKey
    target: VariantKey
    ppm: int


@dataclass(slots=True)
class _Range:
    """A run of `length` ppm (>= 1) owned by one variant."""

    owner: VariantKey
    length: int


def allocate(split: Sequence[SplitShare]) -> Allocation:
    """Lay out the first allocation of a flag: one range for each variant with a share, in order.

    The shares must add up to PPM.
    """
    return _to_allocation([_Range(share.variant, share.ppm) for share in split if share.ppm])


def reallocate(old: Allocation, split: Sequence[SplitShare]) -> Allocation:
    """Return the allocation for `split` that moves the fewest units: the sum of the shares gained.

    A unit changes variant only from one that shrank to one that grew. Among the ways to do that,
    boundaries between neighbours are shifted first, then whole ranges change hands, and only then
    is a range cut in two, so that ranges stay few and a ramp that goes back and forth meets the
    same units again. The shares must add up to PPM.
    """
    ranges = _to_ranges(old)
    balance = Counter({share.variant: share.ppm for share in split})
    for piece in ranges:
        balance[piece.owner] -= piece.length  # > 0: is to gain; < 0: has to give
    while any(balance.values()):
        if not _shift_boundary(ranges, balance) and not _hand_over(ranges, balance):
            _cut(ranges, balance)
        ranges = _merged(ranges)
    return _to_allocation(ranges)


def moves(old: Allocation, new: Allocation) -> tuple[Move, ...]:
    """Return which shares change hands between two allocations, largest first."""
    passed: Counter[tuple[VariantKey, VariantKey]] = Counter()
    edges = sorted({*_edges(old), *_edges(new), PPM})
    before, after = _owners(old), _owners(new)
    source = target = VariantKey("")
    for start, end in itertools.pairwise(edges):
        source, target = before.get(start, source), after.get(start, target)
        if source != target:
            passed[source, target] += end - start
    return tuple(
        Move(source, target, ppm)
        for (source, target), ppm in sorted(passed.items(), key=lambda item: (-item[1], item[0]))
    )


def shares(allocation: Allocation) -> Mapping[VariantKey, int]:
    """Return the share of each variant that owns a range, in ppm."""
    total: Counter[VariantKey] = Counter()
    for piece in _to_ranges(allocation):
        total[piece.owner] += piece.length
    return total


def _shift_boundary(ranges: list[_Range], balance: Counter[VariantKey]) -> bool:
    """Shift the boundary between two neighbours by as much as they may; False if there are none.

    The largest shift comes first, and the first of equal ones.
    """
    best, giver, taker = 0, None, None
    for left, right in itertools.pairwise(ranges):
        for donor, gainer in ((left, right), (right, left)):
            amount = min(-balance[donor.owner], balance[gainer.owner], donor.length)
            if amount > best:
                best, giver, taker = amount, donor, gainer
    if giver is None or taker is None:
        return False
    giver.length -= best
    taker.length += best
    _settle(balance, giver.owner, taker.owner, best)
    return True


def _hand_over(ranges: list[_Range], balance: Counter[VariantKey]) -> bool:
    """Give one whole range, the longest that fits, to another owner; False if none fits."""
    gainer = _neediest(balance)
    fitting = [
        piece for piece in ranges if piece.length <= min(-balance[piece.owner], balance[gainer])
    ]
    if not fitting:
        return False
    piece = max(fitting, key=lambda piece: piece.length)
    _settle(balance, piece.owner, gainer, piece.length)
    piece.owner = gainer
    return True


def _cut(ranges: list[_Range], balance: Counter[VariantKey]) -> None:
    """Give the neediest variant the upper end of the longest range that has to give."""
    gainer = _neediest(balance)
    donors = [index for index, piece in enumerate(ranges) if balance[piece.owner] < 0]
    index = max(donors, key=lambda index: ranges[index].length)
    donor = ranges[index]
    amount = min(-balance[donor.owner], balance[gainer], donor.length)
    donor.length -= amount
    ranges.insert(index + 1, _Range(gainer, amount))
    _settle(balance, donor.owner, gainer, amount)


def _neediest(balance: Counter[VariantKey]) -> VariantKey:
    return max(balance, key=lambda variant: balance[variant])


def _settle(
    balance: Counter[VariantKey], donor: VariantKey, gainer: VariantKey, amount: int
) -> None:
    balance[donor] += amount
    balance[gainer] -= amount


def _merged(ranges: Sequence[_Range]) -> list[_Range]:
    """Drop empty ranges and join neighbours of one owner."""
    merged: list[_Range] = []
    for piece in ranges:
        if not piece.length:
            continue
        if merged and merged[-1].owner == piece.owner:
            merged[-1].length += piece.length
        else:
            merged.append(piece)
    return merged


def _edges(allocation: Allocation) -> list[int]:
    return [start * PPM // BUCKETS for start in allocation.starts]


def _owners(allocation: Allocation) -> dict[int, VariantKey]:
    return dict(zip(_edges(allocation), allocation.variants, strict=True))


def _to_ranges(allocation: Allocation) -> list[_Range]:
    edges = [*_edges(allocation), PPM]
    return [
        _Range(owner, end - start)
        for owner, start, end in zip(allocation.variants, edges, edges[1:], strict=False)
    ]


def _to_allocation(ranges: Sequence[_Range]) -> Allocation:
    starts, position = [], 0
    for piece in ranges:
        starts.append(-(-position * BUCKETS // PPM))  # ceil(position * BUCKETS / PPM)
        position += piece.length
    return Allocation(tuple(starts), tuple(piece.owner for piece in ranges))
