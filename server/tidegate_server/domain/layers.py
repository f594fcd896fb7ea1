"""Layers: flags that exclude each other, each in a slot of buckets of its own.

A layer is the set of flags that name it. Owners of its ranges are keys of flags, and "" for what
is free; they stand where an allocation otherwise has variants.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tidegate.model import PPM, Allocation, Flag, FlagKey, LayerSlot, SplitShare, VariantKey
from tidegate_server.domain.allocation import reallocate
from tidegate_server.domain.checks import percent
from tidegate_server.errors import InvalidField

FREE = VariantKey("")
"""Owner of what no flag occupies."""


def placed(flag: Flag, flags: Mapping[FlagKey, Flag]) -> LayerSlot | None:
    """Return the slot that `flag` wants, with its place among the slots of `flags`.

    Nobody else's slot moves, and as little of its own as can be: where it grows it takes free
    buckets, where it shrinks it frees its own.

    Raises:
        InvalidField: the layer has not enough room.
    """
    wanted = flag.layer
    if wanted is None:
        return None
    slots = {key: slot for key, slot in _slots(flags) if slot.layer == wanted.layer}
    occupied = _joined(slots)
    slots[flag.key] = wanted
    free = PPM - sum(slot.ppm for slot in slots.values())
    if free < 0:
        raise _no_room(flag.key, wanted, slots)
    shares = [SplitShare(VariantKey(key), slot.ppm) for key, slot in sorted(slots.items())]
    layer = reallocate(occupied, [*shares, SplitShare(FREE, free)])
    return replace(wanted, allocation=_only(VariantKey(flag.key), layer))


def _slots(flags: Mapping[FlagKey, Flag]) -> Iterable[tuple[FlagKey, LayerSlot]]:
    return ((key, flag.layer) for key, flag in flags.items() if flag.layer is not None)


def _no_room(key: FlagKey, wanted: LayerSlot, slots: Mapping[FlagKey, LayerSlot]) -> InvalidField:
    others = {other: slot.ppm for other, slot in sorted(slots.items()) if other != key}
    free = PPM - sum(others.values())
    holders = ", ".join(f"{other!r} holds {percent(ppm)}" for other, ppm in others.items())
    fix = f"give at most {percent(free)}, or shrink another" if free else "shrink another first"
    return InvalidField(
        "layer.share_ppm",
        f"{percent(wanted.ppm)} does not fit into layer {wanted.layer!r}, of which {percent(free)} "
        f"is free ({holders}): {fix}",
    )


def _joined(slots: Mapping[FlagKey, LayerSlot]) -> Allocation:
    """Return who owns which ranges of the layer; FREE owns what is in no slot."""
    pairs = [(VariantKey(key), slot.allocation) for key, slot in slots.items()]
    starts = sorted({0, *(start for _, ranges in pairs for start in ranges.starts)})
    owners = [
        next((key for key, ranges in pairs if _owner(ranges, start) == key), FREE)
        for start in starts
    ]
    return _merged(starts, owners)


def _only(owner: VariantKey, layer: Allocation) -> Allocation:
    """Return the layer as `owner` sees it: what is not its own is FREE."""
    return _merged(layer.starts, [key if key == owner else FREE for key in layer.variants])


def _owner(ranges: Allocation, bucket: int) -> VariantKey:
    return ranges.variants[bisect_right(ranges.starts, bucket) - 1]


def _merged(starts: Iterable[int], owners: Iterable[VariantKey]) -> Allocation:
    kept: list[tuple[int, VariantKey]] = []
    for start, owner in zip(starts, owners, strict=True):
        if not kept or kept[-1][1] != owner:
            kept.append((start, owner))
    return Allocation(tuple(start for start, _ in kept), tuple(owner for _, owner in kept))
