"""The rules of a flag."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate.model import (
    Allocation,
    Clause,
    Direction,
    Flag,
    FlagKey,
    Metric,
    Operator,
    Override,
    Phase,
    Revision,
    Rule,
    SplitShare,
    Variant,
    VariantKey,
)
from tidegate_server.domain.allocation import shares
from tidegate_server.domain.flags import created, percent, split_moves, updated, with_split
from tidegate_server.errors import InvalidField, RevisionConflict

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 1, 3, tzinfo=UTC)
V1, V2 = VariantKey("v1"), VariantKey("v2")


def split(**ppm: int) -> tuple[SplitShare, ...]:
    return tuple(SplitShare(VariantKey(key), share) for key, share in ppm.items())


DRAFT = Flag(
    key=FlagKey("chat-model"),
    variants=(Variant(V1, {"model": "a"}), Variant(V2, {"model": "b"})),
    default=V1,
    split=split(v1=950_000, v2=50_000),
    salt="",
    allocation=Allocation((), ()),
    phase=Phase(0),
    revision=Revision(0),
)


def test_a_new_flag_gets_salt_allocation_phase_revision_and_times() -> None:
    flag = created(DRAFT, Revision(7), NOW)
    assert flag.salt == "chat-model"
    assert shares(flag.allocation) == {"v1": 950_000, "v2": 50_000}
    assert (flag.phase, flag.revision) == (7, 7)
    assert (flag.create_time, flag.update_time) == (NOW, NOW)


def rule(**changes: Any) -> tuple[Rule, ...]:
    clause = Clause("team", Operator.IN, ("platform",))
    return (replace(Rule("staff", (clause,), V2), **changes),)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"key": "Chat Model"}, "key"),
        ({"key": "x" * 101}, "key"),
        ({"salt": "s" * 101}, "salt"),
        ({"description": "d" * 2_001}, "description"),
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
        ({"rules": rule(variant=VariantKey("v9"))}, "rules[0].variant"),
        ({"rules": rule(clauses=())}, "rules[0].clauses"),
        ({"rules": rule(clauses=(Clause("", Operator.EXISTS),))}, "rules[0].clauses[0].attribute"),
        ({"rules": rule(clauses=(Clause("a", Operator.IN),))}, "rules[0].clauses[0].values"),
        (
            {"rules": rule(clauses=(Clause("a", Operator.EXISTS, (1,)),))},
            "rules[0].clauses[0].values",
        ),
        (
            {"rules": rule(clauses=(Clause("a", Operator.LESS, (True,)),))},
            "rules[0].clauses[0].values[0]",
        ),
        (
            {"rules": rule(clauses=(Clause("a", Operator.CONTAINS, (1,)),))},
            "rules[0].clauses[0].values[0]",
        ),
        ({"overrides": (Override("", V1),)}, "overrides[0].unit_id"),
        ({"overrides": (Override("u", VariantKey("v9")),)}, "overrides[0].variant"),
        ({"overrides": (Override("u", V1), Override("u", V2))}, "overrides[1]"),
        ({"metrics": (Metric("Not Valid", Direction.LOWER),)}, "metrics[0].outcome"),
    ],
)
def test_a_broken_rule_is_named_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        created(replace(DRAFT, **changes), Revision(1), NOW)
    assert caught.value.field == field


def test_a_wrong_sum_says_what_to_add_and_a_wrong_name_what_is_near() -> None:
    with pytest.raises(InvalidField, match=r"add up to 95 %, not 100 %: add 5 %"):
        created(replace(DRAFT, split=split(v1=950_000)), Revision(1), NOW)
    with pytest.raises(InvalidField, match="'v22' is not known; did you mean 'v2'"):
        created(replace(DRAFT, default=VariantKey("v22")), Revision(1), NOW)


def test_only_another_allocation_begins_another_phase() -> None:
    flag = created(DRAFT, Revision(1), NOW)
    renamed = updated(flag, replace(DRAFT, description="new"), Revision(2), LATER)
    assert (renamed.phase, renamed.revision) == (1, 2)
    assert (renamed.create_time, renamed.update_time) == (NOW, LATER)
    assert renamed.allocation == flag.allocation
    ramped = updated(renamed, replace(DRAFT, split=split(v1=1, v2=999_999)), Revision(3), LATER)
    assert (ramped.phase, ramped.revision) == (3, 3)
    same = with_split(ramped, split(v2=999_999, v1=1), Revision(4), LATER)
    assert (same.phase, same.revision) == (3, 4)


def test_values_and_salt_of_a_flag_are_immutable() -> None:
    flag = created(DRAFT, Revision(1), NOW)
    changed = (Variant(V1, {"model": "other"}), DRAFT.variants[1])
    with pytest.raises(InvalidField, match="variant 'v1' is immutable"):
        updated(flag, replace(DRAFT, variants=changed), Revision(2), LATER)
    with pytest.raises(InvalidField, match="salt"):
        updated(flag, replace(DRAFT, salt="other"), Revision(2), LATER)


def test_a_removed_variant_gives_its_units_away() -> None:
    flag = created(DRAFT, Revision(1), NOW)
    alone = replace(DRAFT, variants=DRAFT.variants[:1], split=split(v1=1_000_000))
    assert shares(updated(flag, alone, Revision(2), LATER).allocation) == {"v1": 1_000_000}


def test_an_update_from_an_old_revision_is_refused() -> None:
    flag = created(DRAFT, Revision(5), NOW)
    assert updated(flag, replace(DRAFT, revision=Revision(5)), Revision(6), LATER).revision == 6
    with pytest.raises(RevisionConflict, match="at revision 5, not 4"):
        updated(flag, replace(DRAFT, revision=Revision(4)), Revision(6), LATER)


def test_moves_are_told_before_they_are_made() -> None:
    flag = created(DRAFT, Revision(1), NOW)
    (move,) = split_moves(flag, split(v1=750_000, v2=250_000))
    assert (move.source, move.target, move.ppm) == ("v1", "v2", 200_000)


@pytest.mark.parametrize(
    ("ppm", "text"),
    [
        (0, "0 %"),
        (1, "0.0001 %"),
        (125_000, "12.5 %"),
        (1_000_000, "100 %"),
        (999_999, "99.9999 %"),
    ],
)
def test_shares_are_written_exactly(ppm: int, text: str) -> None:
    assert percent(ppm) == text
