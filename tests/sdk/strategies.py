"""Arbitrary configuration for property tests, small enough that its parts meet each other."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.sdk.flags import V1, V2, V3, make_flag, make_segment, make_snapshot
from tidegate.model import (
    BUCKETS,
    PPM,
    Allocation,
    Clause,
    Flag,
    FlagKey,
    LayerSlot,
    Operator,
    Override,
    Prerequisite,
    Rule,
    RuleSplit,
    Segment,
    Snapshot,
)

FLAG_KEYS = ("a", "b", "c")
SEGMENT_KEYS = ("beta", "staff")
UNITS = tuple(f"user-{number}" for number in range(8))
NAMES = ("team", "age", "account", "")

variants = st.sampled_from([V1, V2, V3])
unit_ids = st.sampled_from(UNITS) | st.text(max_size=8)
texts = st.sampled_from(["eval", "1.2.3", "2.0", "2026-03-01", "2026-03-01T12:00:00Z", *UNITS])
clause_values = (
    texts
    | st.integers(-(1 << 53), 1 << 53)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.text()
)
shares = st.sampled_from([0, 1, PPM // 2, PPM - 1, PPM])

anything = st.recursive(
    st.one_of(
        st.none(),
        clause_values,
        st.integers(),
        st.floats(),
        st.binary(max_size=3),
        st.datetimes(),
        st.complex_numbers(),
        st.sampled_from([object(), Decimal(1), 10**4_000, datetime(2026, 3, 1, tzinfo=UTC)]),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)
attributes = st.none() | st.dictionaries(st.sampled_from(NAMES), anything)


def tuples(items: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=most).map(tuple)


@st.composite
def allocations(draw: st.DrawFn, owners: st.SearchStrategy[Any] = variants) -> Allocation:
    starts = draw(st.lists(st.integers(1, BUCKETS - 1), max_size=4, unique=True))
    return Allocation((0, *sorted(starts)), tuple(draw(owners) for _ in range(len(starts) + 1)))


plain_clauses = st.builds(
    Clause,
    st.sampled_from(NAMES),
    st.sampled_from(Operator),
    tuples(clause_values),
    st.booleans(),
)
segment_clauses = st.builds(
    Clause,
    st.just(""),
    st.just(Operator.IN_SEGMENT),
    tuples(st.sampled_from([*SEGMENT_KEYS, "nobody"])),
    st.booleans(),
)
rules = st.builds(
    Rule,
    st.sampled_from(["one", "two", "three"]),
    tuples(plain_clauses | segment_clauses),
    variants | st.builds(RuleSplit, st.just(()), allocations()),
)
segments = st.builds(
    make_segment,
    st.sampled_from(SEGMENT_KEYS),
    included=st.frozensets(st.sampled_from(UNITS)),
    excluded=st.frozensets(st.sampled_from(UNITS)),
    rules=tuples(tuples(plain_clauses)),
)


@st.composite
def flags(draw: st.DrawFn, key: str) -> Flag:
    owners = st.sampled_from([key, ""])
    prerequisites = st.builds(
        Prerequisite, st.sampled_from([*FLAG_KEYS, "missing"]).map(FlagKey), tuples(variants)
    )
    return make_flag(
        key,
        default=draw(variants),
        allocation=draw(allocations()),
        rules=draw(tuples(rules)),
        overrides=draw(tuples(st.builds(Override, st.sampled_from(UNITS), variants))),
        killed=draw(st.sampled_from([False, False, False, True])),
        enrolment_ppm=draw(shares),
        layer=draw(st.none() | st.builds(LayerSlot, st.just("layer"), shares, allocations(owners))),
        prerequisites=draw(tuples(prerequisites, 2)),
        unit_attribute=draw(st.sampled_from(["", "account"])),
        ignores_holdout=draw(st.booleans()),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    found: list[Segment] = draw(st.lists(segments, max_size=2))
    return make_snapshot(
        *(draw(flags(key)) for key in FLAG_KEYS), segments=found, holdout_ppm=draw(shares)
    )
