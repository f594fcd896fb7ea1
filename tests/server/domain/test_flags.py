"""How a flag changes, and what begins a phase."""

from dataclasses import replace
from typing import Any

import pytest

from tests.server.domain.drafts import (
    DRAFT,
    EMPTY,
    LATER,
    NOW,
    UNSET,
    V1,
    V2,
    draft,
    slot,
    snapshot,
    split,
)
from tidegate.model import (
    Allocation,
    Clause,
    Flag,
    FlagKey,
    Operator,
    Prerequisite,
    Revision,
    Rule,
    RuleSplit,
)
from tidegate_server.domain.allocation import moves, shares
from tidegate_server.domain.flags import (
    check_deletable,
    created,
    split_moves,
    updated,
    with_split,
)
from tidegate_server.errors import InUse, InvalidField, RevisionConflict

CLAUSES = (Clause("team", Operator.IN, ("platform",)),)


def rule_split(**ppm: int) -> RuleSplit:
    return RuleSplit(split(**ppm), UNSET)


def make(flag: Flag = DRAFT, revision: int = 1) -> Flag:
    return created(flag, EMPTY, Revision(revision), NOW)


def change(current: Flag, wanted: Flag, revision: int = 2) -> Flag:
    return updated(current, wanted, snapshot(current), Revision(revision), LATER)


def own_split(flag: Flag) -> Allocation:
    (rule,) = flag.rules
    assert isinstance(rule.serve, RuleSplit)
    return rule.serve.allocation


def test_a_new_flag_gets_salt_allocation_phase_revision_and_times() -> None:
    flag = make(revision=7)
    assert flag.salt == "chat-model"
    assert shares(flag.allocation) == {"v1": 950_000, "v2": 50_000}
    assert (flag.phase, flag.revision) == (7, 7)
    assert (flag.create_time, flag.update_time) == (NOW, NOW)


def test_only_another_allocation_begins_another_phase() -> None:
    flag = make()
    renamed = change(flag, replace(DRAFT, description="new"))
    assert (renamed.phase, renamed.revision) == (1, 2)
    assert (renamed.create_time, renamed.update_time) == (NOW, LATER)
    assert renamed.allocation == flag.allocation
    ramped = change(renamed, replace(DRAFT, split=split(v1=1, v2=999_999)), 3)
    assert (ramped.phase, ramped.revision) == (3, 3)
    same = with_split(ramped, split(v2=999_999, v1=1), Revision(4), LATER)
    assert (same.phase, same.revision) == (3, 4)


RULE = Rule("staff", CLAUSES, rule_split(v1=500_000, v2=500_000))
FULL: dict[str, Any] = {"rules": (RULE,), "layer": slot("chat", 300_000), "enrolment_ppm": 500_000}


@pytest.mark.parametrize(
    "changes",
    [
        {"enrolment_ppm": 500_001},
        {"unit_attribute": "account"},
        {"layer": None},
        {"layer": slot("chat", 300_001)},
        {"layer": slot("other", 300_000)},
        {"rules": ()},
        {"rules": (replace(RULE, serve=rule_split(v1=499_999, v2=500_001)),)},
        {"rules": (replace(RULE, serve=V2),)},
    ],
)
def test_a_change_of_what_is_in_effect_begins_a_phase(changes: dict[str, Any]) -> None:
    flag = make(draft(**FULL))
    after = change(flag, draft(**(FULL | changes)))
    assert (after.phase, after.revision) == (2, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"killed": True},
        {"rules": (replace(RULE, clauses=(Clause("a", Operator.EXISTS),)),)},
        {"rules": (Rule("first", CLAUSES, V2), RULE)},
        {"ignores_holdout": True},
    ],
)
def test_other_changes_stay_in_the_phase(changes: dict[str, Any]) -> None:
    flag = make(draft(**FULL))
    after = change(flag, draft(**(FULL | changes)))
    assert (after.phase, after.revision) == (1, 2)


def test_a_split_changes_neither_slot_nor_rules() -> None:
    flag = make(draft(**FULL))
    after = with_split(flag, split(v1=0, v2=1_000_000), Revision(2), LATER)
    assert (after.rules, after.layer, after.phase) == (flag.rules, flag.layer, 2)


def test_a_rules_split_moves_the_fewest_from_the_rule_of_its_name() -> None:
    flag = make(draft(rules=(replace(RULE, serve=rule_split(v1=900_000, v2=100_000)),)))
    half = change(flag, draft(rules=(Rule("first", CLAUSES, V1), RULE)))
    (_, rule) = half.rules
    assert isinstance(rule.serve, RuleSplit)
    (move,) = moves(own_split(flag), rule.serve.allocation)
    assert (move.source, move.target, move.ppm) == ("v1", "v2", 400_000)


def test_a_rule_that_served_a_variant_gives_away_only_the_others_shares() -> None:
    flag = make(draft(rules=(replace(RULE, serve=V2),)))
    after = change(flag, draft(rules=(replace(RULE, serve=rule_split(v1=100_000, v2=900_000)),)))
    everything = Allocation((0,), (V2,))
    assert sum(move.ppm for move in moves(everything, own_split(after))) == 100_000


def test_allocations_that_a_client_sends_are_not_kept() -> None:
    forged = replace(
        DRAFT,
        rules=(replace(RULE, serve=replace(rule_split(v1=0, v2=1_000_000), allocation=UNSET)),),
        allocation=Allocation((0,), (V2,)),
    )
    flag = make(forged)
    assert shares(flag.allocation) == {"v1": 950_000, "v2": 50_000}
    assert shares(own_split(flag)) == {"v2": 1_000_000}


def test_values_and_salt_of_a_flag_are_immutable() -> None:
    flag = make()
    changed = (replace(DRAFT.variants[0], value={"model": "other"}), DRAFT.variants[1])
    with pytest.raises(InvalidField, match="variant 'v1' is immutable"):
        change(flag, replace(DRAFT, variants=changed))
    with pytest.raises(InvalidField, match="salt"):
        change(flag, replace(DRAFT, salt="other"))


def test_a_removed_variant_gives_its_units_away() -> None:
    alone = replace(DRAFT, variants=DRAFT.variants[:1], split=split(v1=1_000_000))
    assert shares(change(make(), alone).allocation) == {"v1": 1_000_000}


def test_a_variant_that_another_flag_asks_for_stays() -> None:
    flag = make()
    asking = make(draft("b"))
    asking = replace(asking, prerequisites=(Prerequisite(flag.key, (V2,)),))
    alone = replace(DRAFT, variants=DRAFT.variants[:1], split=split(v1=1_000_000))
    with pytest.raises(InvalidField, match="'v2' is asked for by the prerequisites of flag 'b'"):
        updated(flag, alone, snapshot(flag, asking), Revision(3), LATER)


def test_a_prerequisite_of_others_is_not_deleted() -> None:
    flag, asking = make(), make(draft("b"))
    asking = replace(asking, prerequisites=(Prerequisite(flag.key, (V2,)),))
    check_deletable(asking, snapshot(flag, asking), 0)
    with pytest.raises(InUse, match="'chat-model' is a prerequisite of 'b'"):
        check_deletable(flag, snapshot(flag, asking), 0)
    with pytest.raises(RevisionConflict):
        check_deletable(asking, snapshot(flag, asking), 9)


def test_an_update_from_an_old_revision_is_refused() -> None:
    flag = make(revision=5)
    assert change(flag, replace(DRAFT, revision=Revision(5)), 6).revision == 6
    with pytest.raises(RevisionConflict, match="at revision 5, not 4"):
        change(flag, replace(DRAFT, revision=Revision(4)), 6)


def test_moves_are_told_before_they_are_made() -> None:
    (move,) = split_moves(make(), split(v1=750_000, v2=250_000))
    assert (move.source, move.target, move.ppm) == ("v1", "v2", 200_000)


def test_a_flag_asks_only_for_flags_of_its_environment() -> None:
    wanted = draft(prerequisites=(Prerequisite(FlagKey("other"), (V1,)),))
    with pytest.raises(InvalidField, match="flag 'other' is not known; known are none"):
        make(wanted)
