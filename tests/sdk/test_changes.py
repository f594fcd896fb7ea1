from dataclasses import replace

from tests.sdk.flags import V1, V2, make_flag, make_segment, make_snapshot
from tidegate.changes import changed_flags
from tidegate.model import Clause, FlagKey, Operator, Prerequisite, Rule

STAFF = Rule("staff", (Clause("", Operator.IN_SEGMENT, ("staff",)),), V2)


def test_nothing_changed() -> None:
    assert not changed_flags(make_snapshot(make_flag()), make_snapshot(make_flag(), revision=2))


def test_new_changed_and_deleted_flags() -> None:
    before = make_snapshot(make_flag("same"), make_flag("changed"), make_flag("deleted"))
    after = make_snapshot(make_flag("same"), make_flag("changed", phase=2), make_flag("new"))
    assert changed_flags(before, after) == {"changed", "deleted", "new"}


def test_flags_that_use_a_segment_that_changed() -> None:
    flags = make_flag("one"), make_flag("two", rules=(STAFF,))
    before = make_snapshot(*flags, segments=[make_segment("staff"), make_segment("other")])
    after = make_snapshot(*flags, segments=[make_segment("staff", included=frozenset({"u"}))])
    assert changed_flags(before, after) == {"two"}


def test_all_but_those_that_ignore_it_when_the_holdout_changes() -> None:
    before = make_snapshot(make_flag("one"), make_flag("two", ignores_holdout=True))
    assert changed_flags(before, replace(before, holdout_ppm=1)) == {"one"}


def test_flags_with_a_prerequisite_that_changed_and_theirs() -> None:
    def needs(key: str, other: str) -> object:
        return make_flag(key, prerequisites=(Prerequisite(FlagKey(other), (V1,)),))

    rest = [needs("b", "a"), needs("c", "b"), make_flag("d"), needs("e", "e")]
    before = make_snapshot(make_flag("a"), *rest)  # type: ignore[arg-type]
    after = make_snapshot(make_flag("a", phase=2), *rest)  # type: ignore[arg-type]
    assert changed_flags(before, after) == {"a", "b", "c"}
