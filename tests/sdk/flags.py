"""Flags for tests."""

from collections.abc import Sequence
from typing import Any

from tidegate.model import (
    BUCKETS,
    PPM,
    Allocation,
    Change,
    Flag,
    FlagChange,
    FlagKey,
    Phase,
    Revision,
    Segment,
    SegmentKey,
    Snapshot,
    SplitShare,
    Variant,
    VariantKey,
)

V1, V2, V3 = VariantKey("v1"), VariantKey("v2"), VariantKey("v3")


def boundary(ppm: int) -> int:
    """Return the first bucket at or above a share: ceil(ppm * 2^32 / 10^6)."""
    return -(-ppm * BUCKETS // PPM)


def make_flag(
    key: str = "chat-model", *, shares: Sequence[int] = (50, 30, 20), phase: int = 1, **more: Any
) -> Flag:
    """Return a flag with variants v1, v2 and v3, whose shares are given in percent."""
    ppm = [share * PPM // 100 for share in shares]
    keys = [VariantKey(f"v{number}") for number in range(1, len(ppm) + 1)]
    ranges = [(boundary(sum(ppm[:index])), keys[index]) for index in range(len(ppm)) if ppm[index]]
    values: dict[str, Any] = {
        "key": FlagKey(key),
        "variants": tuple(
            Variant(name, {"model": f"llama-{name}", "tags": [name]}) for name in keys
        ),
        "default": V1,
        "split": tuple(SplitShare(*pair) for pair in zip(keys, ppm, strict=True)),
        "salt": key,
        "allocation": Allocation(
            tuple(start for start, _ in ranges), tuple(owner for _, owner in ranges)
        ),
        "phase": Phase(phase),
        "revision": Revision(max(1, phase)),
    }
    return Flag(**(values | more))


def make_segment(key: str, **more: Any) -> Segment:
    values: dict[str, Any] = {"key": SegmentKey(key), "revision": Revision(1)}
    return Segment(**(values | more))


def make_snapshot(
    *flags: Flag, revision: int = 1, segments: Sequence[Segment] = (), holdout_ppm: int = 0
) -> Snapshot:
    return Snapshot(
        Revision(revision),
        {flag.key: flag for flag in flags or (make_flag(),)},
        {segment.key: segment for segment in segments},
        holdout_ppm,
    )


def make_change(revision: int, flag: Flag) -> Change:
    return FlagChange(Revision(revision), flag.key, flag)


def deletion(revision: int, key: str) -> Change:
    return FlagChange(Revision(revision), FlagKey(key), None)
