"""What a flag may say."""

from dataclasses import replace
from typing import Any

import pytest

from tests.server.domain.drafts import DRAFT, UNSET, V1, V2, slot, snapshot, split
from tidegate.model import (
    Clause,
    Direction,
    Metric,
    Operator,
    Override,
    Rule,
    RuleSplit,
    Variant,
    VariantKey,
)
from tidegate_server.domain.flag_checks import check
from tidegate_server.errors import InvalidField

VALID = replace(DRAFT, salt="s")


def rule(**changes: Any) -> tuple[Rule, ...]:
    clause = Clause("team", Operator.IN, ("platform",))
    return (replace(Rule("staff", (clause,), V2), **changes),)


def rule_split(**ppm: int) -> RuleSplit:
    return RuleSplit(split(**ppm), UNSET)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"key": "Chat Model"}, "key"),
        ({"key": "x" * 101}, "key"),
        ({"salt": "s" * 101}, "salt"),
        ({"salt": "holdout"}, "salt"),
        ({"salt": "layer:checkout"}, "salt"),
        ({"salt": "enrolment:\nother"}, "salt"),
        ({"description": "d" * 2_001}, "description"),
        ({"unit_attribute": "a" * 101}, "unit_attribute"),
        ({"enrolment_ppm": -1}, "enrolment_ppm"),
        ({"enrolment_ppm": 1_000_001}, "enrolment_ppm"),
        ({"variants": ()}, "variants"),
        ({"variants": (Variant(V1, {}), Variant(V1, {}))}, "variants[1]"),
        ({"variants": (Variant(VariantKey("V 1"), {}),)}, "variants[0].key"),
        ({"variants": (Variant(V1, {"x": "y" * 70_000}),)}, "variants[0].value"),
        ({"default": VariantKey("v3")}, "default_variant"),
        ({"split": split(v1=950_000, v3=50_000)}, "split[1].variant"),
        ({"split": split(v1=1_050_000, v2=-50_000)}, "split[0].share_ppm"),
        ({"split": split(v1=950_000)}, "split"),
        ({"split": split(v1=500_000) * 2}, "split[1]"),
        ({"rules": rule() * 2}, "rules[1]"),
        ({"rules": rule(name="")}, "rules[0].name"),
        ({"rules": rule(serve=VariantKey("v9"))}, "rules[0].variant"),
        ({"rules": rule(serve=rule_split(v1=1))}, "rules[0].split.shares"),
        (
            {"rules": rule(serve=rule_split(v1=1, v9=999_999))},
            "rules[0].split.shares[1].variant",
        ),
        ({"rules": rule(clauses=())}, "rules[0].clauses"),
        ({"rules": rule(clauses=(Clause("", Operator.EXISTS),))}, "rules[0].clauses[0].attribute"),
        (
            {"rules": rule(clauses=(Clause("", Operator.IN_SEGMENT, ("tester",)),))},
            "rules[0].clauses[0].values[0]",
        ),
        ({"overrides": (Override("", V1),)}, "overrides[0].unit_id"),
        ({"overrides": (Override("u", VariantKey("v9")),)}, "overrides[0].variant"),
        ({"overrides": (Override("u", V1), Override("u", V2))}, "overrides[1]"),
        ({"metrics": (Metric("Not Valid", Direction.LOWER),)}, "metrics[0].outcome"),
        ({"layer": slot("Not Valid", 1)}, "layer.layer"),
        ({"layer": slot("chat", 0)}, "layer.share_ppm"),
        ({"layer": slot("chat", 1_000_001)}, "layer.share_ppm"),
    ],
)
def test_a_broken_rule_is_named_by_its_field(changes: dict[str, Any], field: str) -> None:
    check(VALID, snapshot(segments=("testers",)))
    with pytest.raises(InvalidField) as caught:
        check(replace(VALID, **changes), snapshot(segments=("testers",)))
    assert caught.value.field == field


def test_a_wrong_sum_says_what_to_add_and_a_wrong_name_what_is_near() -> None:
    with pytest.raises(InvalidField, match=r"add up to 95 %, not 100 %: add 5 %"):
        check(replace(VALID, split=split(v1=950_000)), snapshot())
    with pytest.raises(InvalidField, match="'v22' is not known; did you mean 'v2'"):
        check(replace(VALID, default=VariantKey("v22")), snapshot())


def test_a_segment_that_exists_may_be_named() -> None:
    clause = Clause("", Operator.IN_SEGMENT, ("testers",))
    check(replace(VALID, rules=rule(clauses=(clause,))), snapshot(segments=("testers",)))
