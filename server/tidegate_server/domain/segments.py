"""The rules of a segment: what is valid, and that none is taken away from flags that name it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from tidegate.model import Flag, FlagKey, Operator, Revision, Segment, SegmentKey
from tidegate_server.domain.checks import (
    check_count,
    check_key,
    check_length,
    expect_revision,
    listed,
)
from tidegate_server.domain.clauses import check_clause
from tidegate_server.errors import InUse, InvalidField

MOST_UNITS = 10_000
"""Most units of each list."""


def created(draft: Segment, revision: Revision, now: datetime) -> Segment:
    """Return `draft` as the segment that `revision` brings.

    Raises:
        InvalidField: the draft breaks a rule.
    """
    check(draft)
    return replace(draft, revision=revision, create_time=now, update_time=now)


def updated(current: Segment, draft: Segment, revision: Revision, now: datetime) -> Segment:
    """Return `draft` as the successor of `current`.

    Raises:
        InvalidField: the draft breaks a rule.
        RevisionConflict: the draft was made from another revision than the current.
    """
    expect_revision(current, draft.revision)
    check(draft)
    return replace(draft, revision=revision, create_time=current.create_time, update_time=now)


def check(segment: Segment) -> None:
    """Check everything that a segment says.

    Raises:
        InvalidField: names the first field that breaks a rule.
    """
    check_key("key", segment.key)
    check_length("description", segment.description, 0, 2_000)
    _check_units("included_unit_ids", segment.included)
    _check_units("excluded_unit_ids", segment.excluded)
    check_count("rules", segment.rules, 0, 100)
    for index, clauses in enumerate(segment.rules):
        check_count(f"rules[{index}].clauses", clauses, 1, 100)
        for number, clause in enumerate(clauses):
            check_clause(f"rules[{index}].clauses[{number}]", clause, None)


def check_unneeded(key: SegmentKey, flags: Mapping[FlagKey, Flag]) -> None:
    """Check that no flag names a segment.

    Raises:
        InUse: names those that do.
    """
    users = sorted(flag.key for flag in flags.values() if key in _named(flag))
    if users:
        raise InUse(
            f"segment {key!r} is named by the rules of {listed(users)}: change those rules first"
        )


def _named(flag: Flag) -> Iterable[object]:
    return (
        value
        for rule in flag.rules
        for clause in rule.clauses
        if clause.operator is Operator.IN_SEGMENT
        for value in clause.values
    )


def _check_units(field: str, unit_ids: frozenset[str]) -> None:
    if len(unit_ids) > MOST_UNITS:
        raise InvalidField(
            field,
            f"there are {len(unit_ids):,}; at most {MOST_UNITS:,} are allowed: "
            "tell the units by an attribute, and use a rule",
        )
    for unit_id in sorted(unit_ids):
        check_length(field, unit_id, 1, 1_000)
