"""The rules of a segment."""

from dataclasses import replace
from typing import Any

import pytest

from tests.server.domain.drafts import LATER, NOW, V2, draft, snapshot
from tidegate.model import Clause, Operator, Revision, Rule, Segment, SegmentKey
from tidegate_server.domain.segments import check_unneeded, created, updated
from tidegate_server.errors import InUse, InvalidField, RevisionConflict

TESTERS = SegmentKey("testers")
DRAFT = Segment(
    TESTERS,
    Revision(0),
    included=frozenset({"anna"}),
    excluded=frozenset({"bert"}),
    rules=((Clause("team", Operator.IN, ("qa",)),),),
)


def test_a_segment_gets_revision_and_times() -> None:
    segment = created(DRAFT, Revision(7), NOW)
    assert (segment.revision, segment.create_time, segment.update_time) == (7, NOW, NOW)
    after = updated(segment, replace(DRAFT, description="all"), Revision(8), LATER)
    assert (after.revision, after.create_time, after.update_time) == (8, NOW, LATER)
    assert after.description == "all"


def test_an_update_from_an_old_revision_is_refused() -> None:
    segment = created(DRAFT, Revision(7), NOW)
    with pytest.raises(RevisionConflict, match="segment 'testers' is at revision 7, not 6"):
        updated(segment, replace(DRAFT, revision=Revision(6)), Revision(8), LATER)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"key": "Not Valid"}, "key"),
        ({"description": "d" * 2_001}, "description"),
        ({"included": frozenset({""})}, "included_unit_ids"),
        ({"excluded": frozenset({"x" * 1_001})}, "excluded_unit_ids"),
        ({"included": frozenset(map(str, range(10_001)))}, "included_unit_ids"),
        ({"rules": ((),)}, "rules[0].clauses"),
        ({"rules": DRAFT.rules * 101}, "rules"),
        ({"rules": ((Clause("a", Operator.MATCHES, ("[",)),),)}, "rules[0].clauses[0].values[0]"),
        (
            {"rules": ((Clause("", Operator.IN_SEGMENT, ("testers",)),),)},
            "rules[0].clauses[0].operator",
        ),
    ],
)
def test_a_broken_rule_is_named_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        created(replace(DRAFT, **changes), Revision(1), NOW)
    assert caught.value.field == field


def test_a_segment_in_use_names_who_uses_it() -> None:
    clause = Clause("", Operator.IN_SEGMENT, ("others", "testers"), negate=True)
    flags = snapshot(draft("a", rules=(Rule("r", (clause,), V2),)), draft("b")).flags
    with pytest.raises(InUse, match="segment 'testers' is named by the rules of 'a': change"):
        check_unneeded(TESTERS, flags)
    check_unneeded(SegmentKey("unused"), flags)
