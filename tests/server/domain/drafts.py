"""Drafts of flags, as clients send them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tidegate.model import (
    Allocation,
    Flag,
    FlagKey,
    LayerSlot,
    Phase,
    Revision,
    Segment,
    SegmentKey,
    Snapshot,
    SplitShare,
    Variant,
    VariantKey,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 1, 3, tzinfo=UTC)
V1, V2 = VariantKey("v1"), VariantKey("v2")
UNSET = Allocation((), ())
EMPTY = Snapshot(Revision(0))


def split(**ppm: int) -> tuple[SplitShare, ...]:
    """Shares in parts per million."""
    return tuple(SplitShare(VariantKey(key), share) for key, share in ppm.items())


DRAFT = Flag(
    key=FlagKey("chat-model"),
    variants=(Variant(V1, {"model": "a"}), Variant(V2, {"model": "b"})),
    default=V1,
    split=split(v1=950_000, v2=50_000),
    salt="",
    allocation=UNSET,
    phase=Phase(0),
    revision=Revision(0),
)


def draft(key: str = "chat-model", **changes: Any) -> Flag:
    """A draft of a flag with variants v1 and v2."""
    return replace(DRAFT, key=FlagKey(key), **changes)


def slot(layer: str, ppm: int) -> LayerSlot:
    """A wanted slot."""
    return LayerSlot(layer, ppm, UNSET)


def snapshot(*flags: Flag, segments: tuple[str, ...] = ()) -> Snapshot:
    """An environment with these flags and empty segments of these names."""
    return Snapshot(
        Revision(max((flag.revision for flag in flags), default=0)),
        {flag.key: flag for flag in flags},
        {SegmentKey(key): Segment(SegmentKey(key), Revision(1)) for key in segments},
    )
