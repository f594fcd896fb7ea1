"""The snapshot and the units of `features.json`: everything that a flag takes from around it."""

from collections.abc import Iterator
from typing import Any

from tests.sdk.flags import V1, V2, V3, boundary, make_flag, make_segment, make_snapshot
from tidegate.model import (
    Allocation,
    Clause,
    Flag,
    FlagKey,
    LayerSlot,
    Operator,
    Prerequisite,
    Rule,
    VariantKey,
)

UNITS = tuple(f"user-{number}" for number in range(1, 41))


def ruled(key: str, *clauses: Clause) -> Flag:
    """Return a flag, without holdout, that gives v2 where the clauses hold, and v1 elsewhere."""
    rules = (Rule("rule", clauses, V2),)
    return make_flag(key, shares=(100, 0), rules=rules, ignores_holdout=True)


def slot(flag: str, start: int, end: int) -> LayerSlot:
    """Return the place of a flag in the layer, from `start` up to `end` ppm."""
    edges = [(0, ""), (start, flag), (end, "")] if start else [(0, flag), (end, "")]
    starts = tuple(boundary(ppm) for ppm, _ in edges)
    owners = tuple(VariantKey(owner) for _, owner in edges)
    return LayerSlot("checkout", end - start, Allocation(starts, owners))


def needs(flag: str, *variants: VariantKey) -> tuple[Prerequisite, ...]:
    """Return one prerequisite."""
    return (Prerequisite(FlagKey(flag), variants),)


SEGMENTS = (
    make_segment(
        "beta",
        included=frozenset({"user-1", "user-2"}),
        excluded=frozenset({"user-2", "user-3"}),
        rules=((Clause("plan", Operator.IN, ("pro",)),), (Clause("age", Operator.GREATER, (60,)),)),
    ),
)
FLAGS = (
    make_flag("held-out"),
    make_flag("not-held-out", ignores_holdout=True),
    make_flag("enrolled", enrolment_ppm=300_000, ignores_holdout=True),
    make_flag("layer-a", layer=slot("layer-a", 0, 400_000), ignores_holdout=True),
    make_flag("layer-b", layer=slot("layer-b", 400_000, 700_000), ignores_holdout=True),
    make_flag("by-account", unit_attribute="account", ignores_holdout=True),
    make_flag("needed", shares=(50, 50, 0), ignores_holdout=True),
    make_flag("needing", prerequisites=needs("needed", V2, V3), ignores_holdout=True),
    make_flag("needing-nothing-there", prerequisites=needs("gone", V1), ignores_holdout=True),
    make_flag("round", prerequisites=needs("about", V1), ignores_holdout=True),
    make_flag("about", prerequisites=needs("round", V1), ignores_holdout=True),
    ruled("in-segment", Clause("", Operator.IN_SEGMENT, ("beta",))),
    ruled("not-in-segment", Clause("", Operator.IN_SEGMENT, ("beta",), negate=True)),
    ruled("in-no-segment", Clause("", Operator.IN_SEGMENT, ("gone",))),
    ruled("matches", Clause("x", Operator.MATCHES, (r"^v[0-9]+\.", "(?i)zo(e|ë)$"))),
    ruled("version-equal", Clause("x", Operator.VERSION_EQUAL, ("1.2.0",))),
    ruled("version-less", Clause("x", Operator.VERSION_LESS, ("1.2.0",))),
    ruled("version-less-or-equal", Clause("x", Operator.VERSION_LESS_OR_EQUAL, ("1.2.0",))),
    ruled("version-greater", Clause("x", Operator.VERSION_GREATER, ("1.2.0",))),
    ruled("version-greater-or-equal", Clause("x", Operator.VERSION_GREATER_OR_EQUAL, ("1.2.0",))),
    ruled("before", Clause("x", Operator.BEFORE, ("2026-06-01T00:00:00Z",))),
    ruled("after", Clause("x", Operator.AFTER, ("2026-06-01",))),
)
SNAPSHOT = make_snapshot(*FLAGS, segments=SEGMENTS, holdout_ppm=200_000)

SAMPLES = (
    *("v12.", "xv12.", "Zoe", "ZOË", "Zoë!", "1.2", "v1.2.0", "1.2.0+build", "1.2.0-rc.1", "1.1.9"),
    *("1.10.0", "2", "1.2.x", "2026-05-31", "2026-06-01", "2026-06-01T00:00:00Z", "", 1.2, True),
    *("2026-05-31T23:59:59-01:00", "2026-06-01T01:00:00+02:00", "2026-13-01", None),
)


def cases() -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """Return flags, units and attributes to evaluate."""
    for flag in FLAGS[:11]:
        yield from ((flag.key, unit, None) for unit in UNITS)
    for account in ("acme", "", 7, 7.0, 7.5, True, None):
        yield from (("by-account", unit, {"account": account}) for unit in UNITS[:3])
    for flag in FLAGS[11:14]:
        for attributes in (None, {"plan": "pro"}, {"age": 61}, {"plan": "free", "age": 60}):
            yield from ((flag.key, unit, attributes) for unit in UNITS[:4])
    for flag in FLAGS[14:]:
        yield from ((flag.key, "user-1", {"x": sample}) for sample in SAMPLES)
