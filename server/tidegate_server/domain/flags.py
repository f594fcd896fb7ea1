"""How a flag changes: its first version, its successors, and what a change does to its phase."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tidegate.model import (
    Allocation,
    Flag,
    Phase,
    Revision,
    Rule,
    RuleSplit,
    Snapshot,
    SplitShare,
)
from tidegate_server.domain import prerequisites
from tidegate_server.domain.allocation import Move, allocate, moves, reallocate
from tidegate_server.domain.checks import check_split, expect_revision
from tidegate_server.domain.flag_checks import check, check_immutable
from tidegate_server.domain.layers import placed


def created(draft: Flag, snapshot: Snapshot, revision: Revision, now: datetime) -> Flag:
    """Return `draft` as the flag that `revision` adds to `snapshot`: checked and allocated.

    Raises:
        InvalidField: the draft breaks a rule.
    """
    draft = replace(draft, salt=draft.salt or draft.key)
    check(draft, snapshot)
    return replace(
        draft,
        allocation=allocate(draft.split),
        rules=_allocated(draft.rules, ()),
        layer=placed(draft, snapshot.flags),
        phase=Phase(revision),
        revision=revision,
        create_time=now,
        update_time=now,
    )


def updated(
    current: Flag, draft: Flag, snapshot: Snapshot, revision: Revision, now: datetime
) -> Flag:
    """Return `draft` as the successor of `current`, which is in `snapshot`.

    Raises:
        InvalidField: the draft breaks a rule, changes what is immutable, or takes away a variant
            that another flag asks for.
        RevisionConflict: the draft was made from another revision than the current.
    """
    expect_revision(current, draft.revision)
    draft = replace(draft, salt=draft.salt or current.salt)
    check(draft, snapshot)
    check_immutable(current, draft)
    prerequisites.check_kept(draft, snapshot.flags)
    successor = replace(
        draft,
        allocation=reallocate(current.allocation, draft.split),
        rules=_allocated(draft.rules, current.rules),
        layer=placed(draft, snapshot.flags),
        create_time=current.create_time,
    )
    return _following(current, successor, revision, now)


def with_split(
    current: Flag, split: Sequence[SplitShare], revision: Revision, now: datetime
) -> Flag:
    """Return `current` with another split; its phase changes only if its allocation does.

    Raises:
        InvalidField: the split breaks a rule.
    """
    check_split(split, [variant.key for variant in current.variants])
    allocation = reallocate(current.allocation, split)
    successor = replace(current, split=tuple(split), allocation=allocation)
    return _following(current, successor, revision, now)


def split_moves(current: Flag, split: Sequence[SplitShare]) -> tuple[Move, ...]:
    """Return which shares another split would move, largest first.

    Raises:
        InvalidField: the split breaks a rule.
    """
    check_split(split, [variant.key for variant in current.variants])
    return moves(current.allocation, reallocate(current.allocation, split))


def check_deletable(current: Flag, snapshot: Snapshot, revision: int) -> None:
    """Check that a flag may be deleted by somebody who read it at `revision` (0: any).

    Raises:
        RevisionConflict: it has changed since.
        InUse: another flag has it as a prerequisite.
    """
    expect_revision(current, revision)
    prerequisites.check_unneeded(current.key, snapshot.flags)


def _following(current: Flag, successor: Flag, revision: Revision, now: datetime) -> Flag:
    same = _in_effect(current) == _in_effect(successor)
    return replace(
        successor,
        phase=current.phase if same else Phase(revision),
        revision=revision,
        update_time=now,
    )


def _in_effect(flag: Flag) -> object:
    """Return all that decides which buckets get which variant: its change begins a phase."""
    slot = flag.layer and (flag.layer.layer, flag.layer.allocation)
    rules = {
        rule.name: rule.serve.allocation for rule in flag.rules if isinstance(rule.serve, RuleSplit)
    }
    return flag.allocation, rules, slot, flag.enrolment_ppm, flag.unit_attribute


def _allocated(rules: Sequence[Rule], before: Sequence[Rule]) -> tuple[Rule, ...]:
    """Give the splits of rules their allocations, with least movement from the rule before."""
    former = {rule.name: rule for rule in before}
    return tuple(
        replace(rule, serve=_allocated_split(rule.serve, former.get(rule.name)))
        if isinstance(rule.serve, RuleSplit)
        else rule
        for rule in rules
    )


def _allocated_split(split: RuleSplit, former: Rule | None) -> RuleSplit:
    if former is None:
        return replace(split, allocation=allocate(split.shares))
    serve = former.serve
    old = serve.allocation if isinstance(serve, RuleSplit) else Allocation((0,), (serve,))
    return replace(split, allocation=reallocate(old, split.shares))
