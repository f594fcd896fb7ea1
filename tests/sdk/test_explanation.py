from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sdk import strategies
from tests.sdk.flags import V1, V2, V3, boundary, make_flag, make_segment, make_snapshot
from tidegate.clause_words import clause_words, value_words
from tidegate.evaluation import CompiledSnapshot
from tidegate.explanation import Explanation, Step, explain
from tidegate.model import (
    PPM,
    Allocation,
    Clause,
    Flag,
    FlagKey,
    LayerSlot,
    Operator,
    Override,
    Prerequisite,
    Reason,
    Rule,
    RuleSplit,
    Snapshot,
    VariantKey,
)

SUBJECTS = {
    Reason.KILLED: "kill switch",
    Reason.OVERRIDE: "override",
    Reason.PREREQUISITE: "prerequisite",
    Reason.HOLDOUT: "holdout",
    Reason.LAYER: "layer",
    Reason.RULE: "rule",
    Reason.NOT_ENROLLED: "enrolment",
    Reason.SPLIT: "split",
    Reason.INVALID_UNIT: "unit",
    Reason.FLAG_NOT_FOUND: "flag",
    Reason.NOT_READY: "flag",
}
STAFF = Rule(
    "staff",
    (Clause("team", Operator.IN, ("platform", "eval")), Clause("age", Operator.LESS, (18,), True)),
    V3,
)
HALVES = RuleSplit((), Allocation((0, 1 << 31), (V2, V3)))
IN_BETA = Rule("beta", (Clause("", Operator.IN_SEGMENT, ("beta",)),), HALVES)
FLAG = make_flag(
    rules=(STAFF, IN_BETA),
    overrides=(Override("qa-1", V2), Override("qa-2", V3)),
    enrolment_ppm=900_000,
    layer=LayerSlot(
        "checkout",
        950_000,
        Allocation((0, boundary(950_000)), (VariantKey("chat-model"), VariantKey(""))),
    ),
    prerequisites=(Prerequisite(FlagKey("other"), (V1, V2)),),
)
OTHER = make_flag("other", shares=(100, 0, 0))
BETA = make_segment("beta", included=frozenset({"user-2"}))


def explained(unit_id: Any, flag: Flag = FLAG, **attributes: Any) -> Explanation:
    snapshot = make_snapshot(flag, OTHER, revision=7, segments=(BETA,), holdout_ppm=10_000)
    return explain(CompiledSnapshot(snapshot), "chat-model", unit_id, attributes)


def test_every_step_is_told() -> None:
    found = explained("user-1", team="sales")
    assert found.steps == (
        Step("kill switch", "", False, "off"),
        Step("override", "", False, "none of 2 names the unit"),
        Step("prerequisite", "other", False, "gives v1 (SPLIT); needed: v1 or v2"),
        Step("holdout", "", False, "the unit is at 61.3445 %; held out is below 1 %"),
        Step(
            "layer",
            "checkout",
            False,
            "the unit is at 29.4644 %, in the range from 0 % to 95 %, in the flag's slot",
        ),
        Step(
            "rule",
            "staff",
            False,
            "team in ('platform', 'eval'): no, it is 'sales'; not (age < 18): no, it is missing",
        ),
        Step("rule", "beta", False, "unit in segment 'beta': no"),
        Step("enrolment", "", False, "the unit is at 46.3778 %; enrolled is below 90 %"),
        Step("split", "", True, "the unit is at 72.9205 %, in the range from 50 % to 80 %: v2"),
    )
    assert (found.assignment.variant, found.assignment.reason) == (V2, Reason.SPLIT)
    assert (found.assignment.revision, found.assignment.unit_id) == (7, "user-1")


@pytest.mark.parametrize(
    ("more", "unit_id", "attributes", "last"),
    [
        ({"killed": True}, "qa-1", {}, Step("kill switch", "", True, "on: everybody is given v1")),
        ({}, "qa-2", {}, Step("override", "", True, "names the unit: v3")),
        (
            {"prerequisites": (Prerequisite(FlagKey("other"), (V3,)),)},
            "user-1",
            {},
            Step("prerequisite", "other", True, "gives v1 (SPLIT); needed: v3"),
        ),
        (
            {"prerequisites": (Prerequisite(FlagKey("gone"), (V3, V1)),)},
            "user-1",
            {},
            Step(
                "prerequisite",
                "gone",
                True,
                "gives no variant (FLAG_NOT_FOUND); needed: v3 or v1",
            ),
        ),
        (
            {"prerequisites": (Prerequisite(FlagKey("chat-model"), (V1,)),)},
            "user-1",
            {},
            Step("prerequisite", "", True, "they lead round in a circle, or are too many"),
        ),
        (
            {},
            "user-1",
            {"team": "eval", "age": 30},
            Step(
                "rule",
                "staff",
                True,
                "team in ('platform', 'eval'): yes, it is 'eval'; not (age < 18): yes, it is 30; "
                "gives v3",
            ),
        ),
        (
            {},
            "user-2",
            {},
            Step(
                "rule",
                "beta",
                True,
                "unit in segment 'beta': yes; "
                "the unit is at 32.1546 %, in the range from 0 % to 50 %: v2",
            ),
        ),
        (
            {"unit_attribute": "account"},
            "user-1",
            {"account": "x" * 1_001},
            Step("unit", "account", True, f"'{'x' * 99}… is no string of 1 to 1,000 characters"),
        ),
        ({}, "", {}, Step("unit", "", True, "'' is no string of 1 to 1,000 characters")),
    ],
)
def test_the_last_step_decides(
    more: dict[str, Any], unit_id: str, attributes: dict[str, Any], last: Step
) -> None:
    found = explained(unit_id, replace(FLAG, **more), **attributes)
    assert found.steps[-1] == last
    assert not any(step.decided for step in found.steps[:-1])


def test_what_is_randomised_comes_first() -> None:
    flag = replace(FLAG, unit_attribute="account")
    found = explained("user-1", flag, account=17)
    assert found.steps[0].detail == "the attribute, '17', counts in place of the unit's id"
    assert found.assignment.unit_id == "17"
    found = explained("user-1", flag, account=1.5)
    assert found.steps[0] == Step(
        "unit",
        "account",
        False,
        "the attribute is no text and no integer; the unit's id, 'user-1', counts",
    )


def test_a_flag_that_ignores_the_holdout_says_so() -> None:
    found = explained("user-1", replace(FLAG, ignores_holdout=True))
    assert Step("holdout", "", False, "ignored by the flag") in found.steps


def test_a_plain_flag_has_few_steps() -> None:
    found = explain(CompiledSnapshot(make_snapshot()), "chat-model", "user-1")
    assert [step.subject for step in found.steps] == ["kill switch", "split"]


def test_an_unknown_flag() -> None:
    found = explain(CompiledSnapshot(make_snapshot(revision=4)), "gone", "user-1")
    assert found.steps == (Step("flag", "gone", True, "there is no such flag at revision 4"),)
    assert found.assignment.reason is Reason.FLAG_NOT_FOUND
    found = explain(CompiledSnapshot.not_ready(), "gone", "user-1")
    assert found.assignment.reason is Reason.NOT_READY


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("touched")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("it's", '"it\'s"'),
        (True, "True"),
        (0.5, "0.5"),
        (-7, "-7"),
        (10**4_000, "an integer of 13,288 bits"),
        ("\ud800", "'\\ud800'"),
        ("x" * 300, "'" + "x" * 99 + "…"),
        (Hostile(), "an object of another type"),
        (None, "an object of another type"),
    ],
)
def test_values(value: object, words: str) -> None:
    assert value_words(value) == words


@pytest.mark.parametrize(
    ("clause", "words"),
    [
        (Clause("a", Operator.EXISTS), "a exists: yes, it is 'b'"),
        (Clause("x", Operator.EXISTS), "x exists: no, it is missing"),
        (
            Clause("a", Operator.IN, tuple(range(12))),
            "a in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2 more): no, it is 'b'",
        ),
        (
            Clause("a", Operator.MATCHES, ("(", "b")),
            "a matches ('(', 'b'): yes, it is 'b'; can't be read: '('",
        ),
        (
            Clause("", Operator.IN_SEGMENT, ("gone",), negate=True),
            "not (unit in segment 'gone'): yes; there is no segment 'gone'",
        ),
    ],
)
def test_clauses(clause: Clause, words: str) -> None:
    assert clause_words(clause, {"a": "b"}, "user-1", lambda _: None) == words


@pytest.mark.parametrize("operator", Operator)
def test_every_operator_has_words(operator: Operator) -> None:
    clause = Clause("a", operator, ("1.0",))
    assert clause_words(clause, {"a": "b"}, "user-1", lambda _: None)


def test_a_position_is_never_shown_on_the_wrong_side_of_a_boundary() -> None:
    for ppm in (1, 333_333, PPM - 1):
        ranges = Allocation((0, boundary(ppm)), (V1, V2))
        compiled = CompiledSnapshot(make_snapshot(make_flag(allocation=ranges)))
        for number in range(50):
            found = explain(compiled, "chat-model", f"user-{number}")
            at = float(found.steps[-1].detail.split("at ")[1].split(" %")[0])
            assert (at < ppm / 10_000) is (found.assignment.variant == V1)


@settings(deadline=None)
@given(
    strategies.snapshots(),
    strategies.unit_ids | strategies.anything,
    strategies.attributes,
    st.sampled_from([*strategies.FLAG_KEYS, "missing"]),
)
def test_it_agrees_with_evaluation(
    snapshot: Snapshot, unit_id: Any, attributes: dict[str, Any] | None, key: str
) -> None:
    compiled = CompiledSnapshot(snapshot)
    found = explain(compiled, key, unit_id, attributes)
    given = compiled.evaluate(key, unit_id, attributes)
    assert repr(found.assignment) == repr(given)
    assert found.assignment.value == given.value
    last = found.steps[-1]
    assert [step for step in found.steps if step.decided] == [last]
    assert last.subject == SUBJECTS[given.reason]
    if given.reason is Reason.RULE:
        assert last.name == given.rule
    assert all(step.detail for step in found.steps if step.subject != "rule")
