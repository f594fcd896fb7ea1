from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sdk import reference, strategies
from tests.sdk.flags import (
    V1,
    V2,
    V3,
    deletion,
    make_change,
    make_flag,
    make_segment,
    make_snapshot,
)
from tidegate.bucketing import boundary, bucket
from tidegate.evaluation import CompiledSnapshot
from tidegate.explanation import explain
from tidegate.model import (
    PPM,
    Allocation,
    Change,
    Clause,
    Flag,
    FlagKey,
    HoldoutChange,
    LayerSlot,
    Operator,
    Override,
    Prerequisite,
    Reason,
    Revision,
    Rule,
    RuleSplit,
    SegmentChange,
    SegmentKey,
    Snapshot,
    SplitShare,
    VariantKey,
)
from tidegate_server.domain.allocation import reallocate


class Account(StrEnum):
    ACME = "acme"


STAFF = Rule("staff", (Clause("team", Operator.IN, ("platform", "eval")),), V3)
ADULT = Rule("adult", (Clause("age", Operator.GREATER_OR_EQUAL, (18,)),), V2)


def targeted(**more: Any) -> CompiledSnapshot:
    """Return a flag that gives v1 by its split, v2 and v3 by rules, v2 to qa-1."""
    flag = make_flag(
        shares=(100, 0, 0), rules=(STAFF, ADULT), overrides=(Override("qa-1", V2),), **more
    )
    return CompiledSnapshot(make_snapshot(flag, revision=9))


@pytest.mark.parametrize(
    ("unit_id", "attributes", "variant", "reason", "rule"),
    [
        ("user-1", None, V1, Reason.SPLIT, ""),
        ("user-1", {}, V1, Reason.SPLIT, ""),
        ("user-1", {"team": "sales"}, V1, Reason.SPLIT, ""),
        ("user-1", {"team": "eval"}, V3, Reason.RULE, "staff"),
        ("user-1", {"age": 18}, V2, Reason.RULE, "adult"),
        ("user-1", {"age": 18, "team": "eval"}, V3, Reason.RULE, "staff"),
        ("qa-1", {"team": "eval"}, V2, Reason.OVERRIDE, ""),
        ("qa-1", None, V2, Reason.OVERRIDE, ""),
    ],
)
def test_order(
    unit_id: str,
    attributes: Mapping[str, Any] | None,
    variant: VariantKey,
    reason: Reason,
    rule: str,
) -> None:
    found = targeted().evaluate("chat-model", unit_id, attributes)
    assert (found.variant, found.reason, found.rule) == (variant, reason, rule)
    assert found.value == {"model": f"llama-{variant}", "tags": [variant]}
    assert (found.flag, found.unit_id, found.revision, found.phase) == (
        "chat-model",
        unit_id,
        9,
        1,
    )


@pytest.mark.parametrize("unit_id", ["user-1", "qa-1"])
def test_the_kill_switch_comes_first(unit_id: str) -> None:
    found = targeted(killed=True, default=V2).evaluate("chat-model", unit_id, {"team": "eval"})
    assert (found.variant, found.reason) == (V2, Reason.KILLED)


@pytest.mark.parametrize("unit_id", ["", None, 5, "user-\udfff", ["qa-1"]])
@pytest.mark.parametrize("killed", [False, True])
def test_an_invalid_unit_is_given_nothing(unit_id: Any, killed: bool) -> None:
    found = targeted(killed=killed).evaluate("chat-model", unit_id, {"team": "eval"})
    assert (found.variant, found.value, found.reason) == ("", None, Reason.INVALID_UNIT)


def test_an_unknown_flag_is_given_nothing() -> None:
    found = targeted().evaluate("chat", "user-1")
    assert (found.flag, found.variant, found.value) == ("chat", "", None)
    assert (found.reason, found.revision, found.phase) == (Reason.FLAG_NOT_FOUND, 9, 0)


def test_without_a_snapshot_nothing_is_ready() -> None:
    found = CompiledSnapshot.not_ready().evaluate("chat-model", "user-1")
    assert (found.variant, found.reason, found.revision) == ("", Reason.NOT_READY, 0)


def test_unknown_flags_take_no_memory() -> None:
    compiled = targeted()
    for number in range(10):
        compiled.evaluate(f"flag-{number}", "user-1")
    assert not compiled._flags


def test_the_split_is_the_allocation() -> None:
    flag = make_flag(shares=(50, 30, 20))
    compiled = CompiledSnapshot(make_snapshot(flag))
    starts = (*flag.allocation.starts, 1 << 32)
    for number in range(500):
        unit_id = f"user-{number}"
        found = compiled.evaluate("chat-model", unit_id)
        index = flag.allocation.variants.index(found.variant)
        assert starts[index] <= bucket("chat-model", unit_id) < starts[index + 1]
        assert found.reason is Reason.SPLIT


def test_units_with_the_same_result_share_it() -> None:
    compiled = CompiledSnapshot(make_snapshot())
    results = {compiled.evaluate("chat-model", f"user-{i}").given for i in range(200)}
    assert len(results) == 3


def test_a_value_cannot_be_changed_for_others() -> None:
    found = targeted().evaluate("chat-model", "user-1")
    with pytest.raises(TypeError, match="shared"):
        found.value["tags"].append("mine")


def test_a_change_compiles_only_its_flag_anew() -> None:
    one, two = make_flag("one"), make_flag("two")
    before = CompiledSnapshot(make_snapshot(one, two))
    compiled = {key: before.chooser(key) for key in ("one", "two")}
    after = before.apply(make_change(2, replace(one, killed=True)))
    assert after.chooser("two") is compiled["two"]
    assert after.evaluate("one", "user-1").reason is Reason.KILLED
    assert after.evaluate("two", "user-1").revision == 2
    assert before.evaluate("one", "user-1").reason is Reason.SPLIT
    assert before.evaluate("two", "user-1").revision == 1


def test_changes_add_and_delete_flags() -> None:
    compiled = CompiledSnapshot(make_snapshot(make_flag("one")))
    compiled.evaluate("one", "user-1")
    compiled = compiled.apply(make_change(2, make_flag("two", phase=2)))
    assert compiled.evaluate("two", "user-1").phase == 2
    compiled = compiled.apply(deletion(3, "one"))
    assert compiled.evaluate("one", "user-1").reason is Reason.FLAG_NOT_FOUND
    assert set(compiled.snapshot.flags) == {"two"}
    assert compiled.revision == compiled.snapshot.revision == 3


@pytest.mark.parametrize("revision", [1, 3])
def test_a_change_must_follow(revision: int) -> None:
    with pytest.raises(ValueError, match=r"change\.revision"):
        CompiledSnapshot(make_snapshot(revision=1)).apply(make_change(revision, make_flag()))


def test_it_says_what_it_is() -> None:
    text = repr(targeted().evaluate("chat-model", "user-1", {"team": "eval"}))
    assert text == (
        "Assignment(flag='chat-model', unit_id='user-1', variant='v3', reason='RULE', "
        "rule='staff', revision=9, phase=1)"
    )


BETA = make_segment("beta", included=frozenset({"user-1"}))
IN_BETA = Rule("beta", (Clause("", Operator.IN_SEGMENT, ("beta",)),), V3)


def unit_in(share: str, *, below: int) -> str:
    """Return a unit whose bucket for `share` lies below so many ppm."""
    units = (f"user-{number}" for number in range(1_000))
    return next(unit for unit in units if bucket(share, unit) < boundary(below))


HELD_OUT = unit_in("holdout", below=10_000)
IN_SLOT = unit_in("layer:checkout", below=10_000)
ENROLLED = unit_in("enrolment:chat-model", below=10_000)
OUTSIDE = next(
    unit
    for unit in (f"user-{number}" for number in range(1_000))
    if min(bucket(share, unit) for share in ("holdout", "layer:checkout", "enrolment:chat-model"))
    >= boundary(10_000)
)


def gated(**more: Any) -> CompiledSnapshot:
    """Return a flag that every gate of 1 % stands before; its rule serves v3, its split v2."""
    slot = LayerSlot(
        "checkout", 10_000, Allocation((0, boundary(10_000)), (VariantKey("chat-model"), V2))
    )
    values: dict[str, Any] = {
        "shares": (0, 100, 0),
        "rules": (STAFF,),
        "overrides": (Override("qa-1", V2),),
        "enrolment_ppm": 10_000,
        "layer": slot,
        "prerequisites": (Prerequisite(FlagKey("other"), (V1,)),),
    }
    flags = make_flag(**(values | more)), make_flag("other", shares=(100, 0, 0))
    return CompiledSnapshot(make_snapshot(*flags, holdout_ppm=10_000))


def decided(compiled: CompiledSnapshot, unit_id: Any, **attributes: Any) -> tuple[str, Reason]:
    found = compiled.evaluate("chat-model", unit_id, attributes)
    return found.variant, found.reason


NONE: dict[str, Any] = {"layer": None, "prerequisites": ()}


@pytest.mark.parametrize(
    ("more", "unit_id", "variant", "reason"),
    [
        ({"killed": True}, "qa-1", V1, Reason.KILLED),
        ({"prerequisites": (Prerequisite(FlagKey("other"), (V2,)),)}, "qa-1", V2, Reason.OVERRIDE),
        (
            {"prerequisites": (Prerequisite(FlagKey("x"), (V1,)),)},
            HELD_OUT,
            V1,
            Reason.PREREQUISITE,
        ),
        ({}, HELD_OUT, V1, Reason.HOLDOUT),
        ({"ignores_holdout": True}, HELD_OUT, V1, Reason.LAYER),
        ({}, OUTSIDE, V1, Reason.LAYER),
        ({}, IN_SLOT, V3, Reason.RULE),
        ({"layer": None}, OUTSIDE, V3, Reason.RULE),
        ({"layer": None, "rules": ()}, OUTSIDE, V1, Reason.NOT_ENROLLED),
        ({"layer": None, "rules": ()}, ENROLLED, V2, Reason.SPLIT),
        ({**NONE, "rules": (), "overrides": ()}, HELD_OUT, V1, Reason.HOLDOUT),
        ({**NONE, "rules": (), "overrides": ()}, OUTSIDE, V1, Reason.NOT_ENROLLED),
        ({**NONE, "rules": (), "overrides": ()}, ENROLLED, V2, Reason.SPLIT),
    ],
)
def test_the_order_of_everything(
    more: dict[str, Any], unit_id: str, variant: VariantKey, reason: Reason
) -> None:
    assert decided(gated(**more), unit_id, team="eval") == (variant, reason)


def test_a_rule_may_serve_a_split_of_its_own() -> None:
    half = RuleSplit((), Allocation((0, 1 << 31), (V2, V3)))
    flag = make_flag(shares=(100, 0, 0), rules=(replace(STAFF, serve=half),))
    compiled = CompiledSnapshot(make_snapshot(flag))
    for number in range(100):
        low = bucket("chat-model", f"user-{number}") < 1 << 31
        found = decided(compiled, f"user-{number}", team="eval")
        assert found == (V2 if low else V3, Reason.RULE)


@pytest.mark.parametrize("attributes", [None, {}, {"team": "x"}])
def test_a_segment_needs_no_attributes(attributes: dict[str, Any] | None) -> None:
    flag = make_flag(shares=(100, 0, 0), rules=(STAFF, IN_BETA))
    compiled = CompiledSnapshot(make_snapshot(flag, segments=(BETA,)))
    assert compiled.evaluate("chat-model", "user-1", attributes).variant == V3
    assert compiled.evaluate("chat-model", "user-2", attributes).variant == V1


@pytest.mark.parametrize(
    ("account", "unit_id"),
    [
        ("acme", "acme"),
        (17, "17"),
        (-3, "-3"),
        (Account.ACME, "acme"),
        ("", "user-1"),
        (None, "user-1"),
        (True, "user-1"),
        (1.5, "user-1"),
        (["acme"], "user-1"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"rules": (STAFF, ADULT)}, {"killed": True}])
def test_an_attribute_may_take_the_place_of_the_unit(
    more: dict[str, Any], account: object, unit_id: str
) -> None:
    flag = make_flag(shares=(20,) * 5, unit_attribute="account", **more)
    compiled = CompiledSnapshot(make_snapshot(flag))
    found = compiled.evaluate("chat-model", "user-1", {"account": account})
    assert found.unit_id == unit_id
    plain = CompiledSnapshot(make_snapshot(replace(flag, unit_attribute="")))
    assert found.variant == plain.evaluate("chat-model", unit_id).variant


def test_an_attribute_that_is_no_unit_is_given_nothing() -> None:
    compiled = CompiledSnapshot(make_snapshot(make_flag(unit_attribute="account")))
    for account in ("x" * 1_001, "\ud800", 10**1_000, -(10**5_000)):
        assert decided(compiled, "user-1", account=account) == ("", Reason.INVALID_UNIT)
    assert decided(compiled, None, account=10**999)[1] is Reason.SPLIT


def test_overrides_and_segments_name_the_randomised_unit() -> None:
    flag = make_flag(
        shares=(100, 0, 0),
        unit_attribute="account",
        overrides=(Override("acme", V2),),
        rules=(IN_BETA,),
    )
    compiled = CompiledSnapshot(make_snapshot(flag, segments=(BETA,)))
    assert decided(compiled, "user-1", account="acme") == (V2, Reason.OVERRIDE)
    assert decided(compiled, "user-5", account="user-1") == (V3, Reason.RULE)
    assert decided(compiled, "user-1", account="user-5") == (V1, Reason.SPLIT)


def test_a_prerequisite_is_asked_for_the_unit_that_was_given() -> None:
    other = make_flag("other", shares=(100, 0, 0), overrides=(Override("user-1", V2),))
    flag = make_flag(
        shares=(0, 100, 0),
        unit_attribute="account",
        prerequisites=(Prerequisite(FlagKey("other"), (V2,)),),
    )
    compiled = CompiledSnapshot(make_snapshot(flag, other))
    assert decided(compiled, "user-1", account="acme") == (V2, Reason.SPLIT)
    assert decided(compiled, "user-2", account="user-1") == (V1, Reason.PREREQUISITE)


def chain(*keys: str) -> list[Flag]:
    """Return flags each of which needs v2 of the next, and the last of the first."""
    return [
        make_flag(
            key,
            shares=(0, 100, 0),
            prerequisites=(Prerequisite(FlagKey(after), (V1, V2)),),
        )
        for key, after in zip(keys, [*keys[1:], keys[0]], strict=True)
    ]


@pytest.mark.parametrize("keys", [("a",), ("a", "b"), ("a", "b", "c")])
def test_a_circle_gives_the_default(keys: tuple[str, ...]) -> None:
    leading_there = make_flag("z", prerequisites=(Prerequisite(FlagKey("a"), (V1,)),))
    for order in (keys, keys[::-1]):
        compiled = CompiledSnapshot(make_snapshot(*chain(*keys), leading_there))
        for key in (*order, "z"):
            found = compiled.evaluate(key, "user-1")
            assert (found.variant, found.reason) == (V1, Reason.PREREQUISITE)


def test_a_circle_that_is_broken_is_forgotten() -> None:
    a, b, c = chain("a", "b", "c")
    compiled = CompiledSnapshot(make_snapshot(a, b, c))
    assert compiled.evaluate("a", "user-1").reason is Reason.PREREQUISITE
    compiled = compiled.apply(make_change(2, replace(c, prerequisites=())))
    assert compiled.evaluate("a", "user-1").reason is Reason.SPLIT


BETA_FLAG = make_flag("beta-flag", shares=(100, 0, 0), rules=(IN_BETA,))
NEEDS_BETA = make_flag(
    "needs-beta", prerequisites=(Prerequisite(FlagKey("beta-flag"), (V3,)),), shares=(0, 100, 0)
)
NEEDS_THAT = make_flag(
    "needs-that", prerequisites=(Prerequisite(FlagKey("needs-beta"), (V2,)),), shares=(0, 100, 0)
)
FAMILY = ("beta-flag", "needs-beta", "needs-that")


def test_a_change_of_a_segment_reaches_the_flags_that_need_it() -> None:
    plain = make_flag("plain")
    snapshot = make_snapshot(plain, BETA_FLAG, NEEDS_BETA, NEEDS_THAT, segments=(BETA,))
    compiled = CompiledSnapshot(snapshot)
    assert [compiled.evaluate(key, "user-1").variant for key in FAMILY] == [V3, V2, V2]
    chosen = compiled.chooser("plain")
    key = SegmentKey("beta")
    without = compiled.apply(SegmentChange(Revision(2), key, None))
    assert [without.evaluate(key, "user-1").variant for key in FAMILY] == [V1, V1, V1]
    again = without.apply(SegmentChange(Revision(3), key, BETA))
    assert [again.evaluate(key, "user-1").variant for key in FAMILY] == [V3, V2, V2]
    assert again.chooser("plain") is without.chooser("plain") is chosen
    assert [compiled.evaluate(key, "user-1").variant for key in FAMILY] == [V3, V2, V2]


def test_a_change_of_a_flag_reaches_the_flags_that_need_it() -> None:
    snapshot = make_snapshot(BETA_FLAG, NEEDS_BETA, NEEDS_THAT, segments=(BETA,))
    compiled = CompiledSnapshot(snapshot)
    assert compiled.evaluate("needs-that", "user-1").variant == V2
    killed = compiled.apply(make_change(2, replace(BETA_FLAG, killed=True)))
    assert killed.evaluate("needs-that", "user-1").reason is Reason.PREREQUISITE
    deleted = killed.apply(deletion(3, "beta-flag"))
    assert deleted.evaluate("needs-that", "user-1").reason is Reason.PREREQUISITE
    back = deleted.apply(make_change(4, BETA_FLAG))
    assert back.evaluate("needs-that", "user-1").variant == V2


def test_a_change_of_the_holdout_reaches_all_flags() -> None:
    compiled = CompiledSnapshot(make_snapshot(make_flag("one"), make_flag("two")))
    assert compiled.evaluate("one", HELD_OUT).reason is Reason.SPLIT
    compiled = compiled.apply(HoldoutChange(Revision(2), 10_000))
    assert compiled.evaluate("one", HELD_OUT).reason is Reason.HOLDOUT
    assert compiled.evaluate("two", OUTSIDE).reason is Reason.SPLIT
    compiled = compiled.apply(HoldoutChange(Revision(3), 0))
    assert compiled.evaluate("one", HELD_OUT).reason is Reason.SPLIT


UNIT_IDS = [f"user-{number}" for number in range(20_000)]


def test_the_holdout_is_nested_when_it_grows() -> None:
    held_out: set[str] = set()
    for percent in (0, 1, 5, 20, 100):
        compiled = CompiledSnapshot(make_snapshot(holdout_ppm=percent * PPM // 100))
        now = {unit for unit in UNIT_IDS if decided(compiled, unit)[1] is Reason.HOLDOUT}
        assert held_out <= now
        expected = len(UNIT_IDS) * percent / 100
        assert abs(len(now) - expected) <= 4.5 * (expected * (1 - percent / 100)) ** 0.5
        held_out = now


def test_enrolment_is_independent_of_the_split() -> None:
    flag = make_flag(shares=(50, 30, 20), enrolment_ppm=200_000)
    compiled = CompiledSnapshot(make_snapshot(flag))
    everybody = CompiledSnapshot(make_snapshot(make_flag(shares=(50, 30, 20))))
    cells: Counter[tuple[bool, str]] = Counter()
    for unit in UNIT_IDS:
        enrolled = decided(compiled, unit)[1] is Reason.SPLIT
        cells[enrolled, decided(everybody, unit)[0]] += 1
    chi_square = 0.0
    for enrolled, share in ((True, 0.2), (False, 0.8)):
        for variant, part in ((V1, 0.5), (V2, 0.3), (V3, 0.2)):
            expected = len(UNIT_IDS) * share * part
            chi_square += (cells[enrolled, variant] - expected) ** 2 / expected
    assert chi_square < 20.5  # the 0.1 % point at 5 degrees of freedom


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, PPM // 3), min_size=3, max_size=3), min_size=1, max_size=4))
def test_flags_in_one_layer_never_enrol_the_same_unit(history: list[list[int]]) -> None:
    keys = ("a", "b", "c")
    allocation = Allocation((0,), (VariantKey(""),))
    for wanted in history:
        shares = [SplitShare(VariantKey(key), ppm) for key, ppm in zip(keys, wanted, strict=True)]
        free = SplitShare(VariantKey(""), PPM - sum(wanted))
        allocation = reallocate(allocation, [*shares, free])
        flags = [make_flag(key, layer=slot_of(key, allocation)) for key in keys]
        compiled = CompiledSnapshot(make_snapshot(*flags))
        for unit in UNIT_IDS[:100]:
            given = [compiled.evaluate(key, unit).reason for key in keys]
            assert given.count(Reason.SPLIT) <= 1
            assert given.count(Reason.SPLIT) + given.count(Reason.LAYER) == len(keys)


def slot_of(key: str, layer: Allocation) -> LayerSlot:
    """Return the slot as the server stores it: ranges of others belong to ""."""
    owners = tuple(owner if owner == key else VariantKey("") for owner in layer.variants)
    return LayerSlot("checkout", 1, Allocation(layer.starts, owners))


@settings(deadline=None)
@given(
    strategies.snapshots(),
    strategies.unit_ids,
    strategies.attributes,
    st.sampled_from([*strategies.FLAG_KEYS, "missing"]),
)
def test_it_answers_as_decided(
    snapshot: Snapshot, unit_id: str, attributes: dict[str, Any] | None, key: str
) -> None:
    found = CompiledSnapshot(snapshot).evaluate(key, unit_id, attributes)
    wanted = reference.evaluate(snapshot, key, unit_id, attributes)
    assert (found.variant, found.reason, found.rule) == wanted


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=2_500, deadline=None)
@given(strategies.snapshots(), strategies.unit_ids | strategies.anything, strategies.attributes)
def test_it_never_raises(
    snapshot: Snapshot, unit_id: Any, attributes: dict[str, Any] | None
) -> None:
    compiled = CompiledSnapshot(snapshot)
    for key in strategies.FLAG_KEYS:
        found = compiled.evaluate(key, unit_id, attributes)
        wanted = reference.evaluate(snapshot, key, unit_id, attributes)
        assert (found.variant, found.reason, found.rule) == wanted
        assert repr(explain(compiled, key, unit_id, attributes).assignment) == repr(found)


@given(strategies.snapshots(), st.lists(strategies.snapshots(), min_size=1, max_size=3))
@settings(deadline=None, max_examples=25)
def test_changes_lead_to_what_a_snapshot_would(before: Snapshot, later: list[Snapshot]) -> None:
    compiled = CompiledSnapshot(before)
    for snapshot in later:
        for change in changes_between(compiled.snapshot, snapshot):
            evaluate_all(compiled)  # so that there is something stale to keep
            compiled = compiled.apply(change)
            assert evaluate_all(compiled) == evaluate_all(CompiledSnapshot(compiled.snapshot))


def changes_between(old: Snapshot, new: Snapshot) -> list[Change]:
    revision = iter(range(old.revision + 1, 1_000))
    keys = old.segments.keys() | new.segments.keys()
    return [
        *(make_change(next(revision), new.flags[FlagKey(key)]) for key in strategies.FLAG_KEYS),
        *(
            SegmentChange(Revision(next(revision)), key, new.segments.get(key))
            for key in sorted(keys)
        ),
        HoldoutChange(Revision(next(revision)), new.holdout_ppm),
    ]


def evaluate_all(compiled: CompiledSnapshot) -> list[str]:
    return [
        repr(compiled.evaluate(key, unit, {"team": "eval"}))
        for key in strategies.FLAG_KEYS
        for unit in strategies.UNITS
    ]
