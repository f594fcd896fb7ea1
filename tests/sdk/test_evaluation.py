from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sdk.flags import V1, V2, V3, deletion, make_change, make_flag, make_snapshot
from tidegate.bucketing import bucket
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import Clause, Operator, Override, Reason, Rule, VariantKey

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
    assert not compiled.choosers


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
clauses = st.builds(
    Clause,
    st.sampled_from(["a", "b"]),
    st.sampled_from(Operator),
    st.lists(
        st.text(max_size=3) | st.integers() | st.booleans() | st.floats(allow_nan=False),
        max_size=3,
    ).map(tuple),
    st.booleans(),
)
rules = st.lists(
    st.builds(Rule, st.text(), st.lists(clauses, min_size=1, max_size=3).map(tuple), st.just(V2)),
    max_size=3,
).map(tuple)
attributes = st.none() | st.dictionaries(st.sampled_from(["a", "b", ""]), json_values)


@given(rules, st.text(), attributes, st.booleans())
def test_it_always_answers(
    rules: tuple[Rule, ...], unit_id: str, attributes: dict[str, Any] | None, killed: bool
) -> None:
    compiled = CompiledSnapshot(make_snapshot(make_flag(rules=rules, killed=killed)))
    found = compiled.evaluate("chat-model", unit_id, attributes)
    assert found.variant or found.reason is Reason.INVALID_UNIT
    again = CompiledSnapshot(compiled.snapshot).evaluate("chat-model", unit_id, attributes)
    assert repr(again) == repr(found)
