"""What changed between two snapshots. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from tidegate.model import Flag, FlagKey, Operator, Revision, Snapshot

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """A change of the configuration.

    flags: keys of the flags whose assignments may be others from now on: what is new, changed or
        deleted, and what depends on it by a prerequisite, a segment or the holdout.
    revision: the environment's revision after the change.
    """

    flags: frozenset[FlagKey]
    revision: Revision


def changed_flags(before: Snapshot, after: Snapshot) -> frozenset[FlagKey]:
    """Return the keys of the flags whose assignments may differ between two snapshots."""
    changed = set(_different(before.flags, after.flags))
    if before.holdout_ppm != after.holdout_ppm:
        changed |= {key for key, flag in after.flags.items() if not flag.ignores_holdout}
    segments = {str(key) for key in _different(before.segments, after.segments)}
    if segments:
        changed |= {key for key, flag in after.flags.items() if segments & _segments_of(flag)}
    return frozenset(_with_dependents(changed, after))


def _different(before: Mapping[K, V], after: Mapping[K, V]) -> set[K]:
    keys = before.keys() | after.keys()
    return {key for key in keys if not _same(before.get(key), after.get(key))}


def _same(one: object, other: object) -> bool:
    return one is other or one == other


def _segments_of(flag: Flag) -> set[str]:
    return {
        str(value)
        for rule in flag.rules
        for clause in rule.clauses
        if clause.operator is Operator.IN_SEGMENT
        for value in clause.values
    }


def _with_dependents(changed: set[FlagKey], snapshot: Snapshot) -> set[FlagKey]:
    """Add the flags that have a changed one as a prerequisite, and those that have these."""
    with_needs = {
        key: {each.flag for each in flag.prerequisites}
        for key, flag in snapshot.flags.items()
        if flag.prerequisites
    }
    found = set(changed)
    while more := {key for key, needs in with_needs.items() if needs & found} - found:
        found |= more
    return found
