"""Evaluation: snapshot + flag + unit + attributes → assignment. Pure, and the only implementation.

Order: kill switch → override of the unit → prerequisites → holdout → layer → targeting rules, first
match → enrolment → split.

A flag is compiled when it is first asked for; after that an answer costs one hash and one binary
search, and more only for what the flag uses.
"""

from typing import Any, TypeAlias

from tidegate.attributes import Attributes, randomised_unit
from tidegate.compiled_flag import Around, CompiledFlag, Met, compile_flag
from tidegate.given import NO_PHASE, Chooser, Given, Grant, always, nothing
from tidegate.model import (
    Change,
    Flag,
    FlagChange,
    FlagKey,
    HoldoutChange,
    Operator,
    Phase,
    Reason,
    Revision,
    SegmentChange,
    SegmentKey,
    Snapshot,
    VariantKey,
)
from tidegate.prerequisites import is_endless, needed_flags
from tidegate.targeting import Matcher, compile_segment

__all__ = ["NO_PHASE", "Assignment", "Chooser", "CompiledSnapshot", "Given", "Grant"]

Need: TypeAlias = tuple[type[Change], str]
"""What a compiled flag was made from beside the flag: another flag or a segment, by its key."""


class Assignment:
    """A unit's variant: what it was given, and at which revision of the environment.

    Filled attribute by attribute, which takes half the time of an __init__; not to be changed.
    """

    __slots__ = ("grant", "unit_id")

    grant: Grant
    unit_id: str

    @property
    def given(self) -> Given:
        """What the unit was given, and why."""
        return self.grant.given

    @property
    def revision(self) -> Revision:
        """The environment's revision at which it was given."""
        return self.grant.revision

    @property
    def flag(self) -> FlagKey:
        """Key of the flag that was asked for."""
        return self.grant.given.flag

    @property
    def variant(self) -> VariantKey:
        """Key of the variant; "" where `reason` says that there is none."""
        return self.grant.given.variant

    @property
    def value(self) -> Any:
        """The variant's value, a read-only dictionary; the caller's default without a variant."""
        return self.grant.given.value

    @property
    def reason(self) -> Reason:
        """What decided."""
        return self.grant.given.reason

    @property
    def rule(self) -> str:
        """Name of the rule that matched, for Reason.RULE; otherwise ""."""
        return self.grant.given.rule

    @property
    def phase(self) -> Phase:
        """The flag's phase (>= 1); 0 where there is no flag."""
        return self.grant.given.phase

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(flag={self.flag!r}, unit_id={self.unit_id!r}, "
            f"variant={self.variant!r}, reason={self.reason.value!r}, rule={self.rule!r}, "
            f"revision={self.revision}, phase={self.phase})"
        )


class CompiledSnapshot:
    """A snapshot in the form that evaluates units. Immutable but for what it has yet to compile.

    `plans` and `grants` are for a client, which keeps there what it derived from this snapshot.
    """

    __slots__ = (
        "_flags",
        "_missing",
        "_needs",
        "_segments",
        "grants",
        "plans",
        "revision",
        "snapshot",
    )

    def __init__(self, snapshot: Snapshot, *, missing: Reason = Reason.FLAG_NOT_FOUND) -> None:
        """`missing` is the reason given for a flag that the snapshot does not have."""
        self.snapshot = snapshot
        self.revision = snapshot.revision
        self.plans: dict[str, Any] = {}
        self.grants: dict[Given, Any] = {}
        self._flags: dict[str, CompiledFlag] = {}
        self._needs: dict[str, frozenset[Need]] = {}  # written before the flag
        self._segments: dict[str, Matcher] = {}
        self._missing = missing

    @classmethod
    def not_ready(cls) -> "CompiledSnapshot":
        """Return what stands in until there is a snapshot: every flag is NOT_READY."""
        return cls(Snapshot(Revision(0)), missing=Reason.NOT_READY)

    def evaluate(
        self, flag_key: str, unit_id: str, attributes: Attributes | None = None
    ) -> Assignment:
        """Assign one unit. Invalid units and unknown flags are answered by a reason.

        The assignment's unit is the one that is randomised (see `randomised_unit`).

        Raises:
            AttributeError: `attributes` is no mapping.
        """
        assignment = Assignment()
        given = self.chooser(flag_key)(unit_id, attributes)
        assignment.grant = Grant(given, self.revision)
        assignment.unit_id = unit_id
        if given.unit_attribute:
            unit = randomised_unit(given.unit_attribute, unit_id, attributes)
            assignment.unit_id = unit  # type: ignore[assignment]
        return assignment

    def chooser(self, flag_key: str) -> Chooser:
        """Return what evaluates a flag; for an unknown one, what gives nothing and says why."""
        flag = self.flag(flag_key)
        return self.missing(flag_key) if flag is None else flag.choose

    def missing(self, flag_key: str) -> Chooser:
        """Return what gives nothing, and says why, for a flag that is not there."""
        return always(nothing(flag_key, self._missing))

    def flag(self, flag_key: str) -> CompiledFlag | None:
        """Return the compiled flag; None where there is none."""
        compiled = self._flags.get(flag_key)
        if compiled is not None:
            return compiled
        flag = self.snapshot.flags.get(FlagKey(flag_key))
        if flag is None:
            return None
        around = Around(self.segment, self._prerequisites(flag), self.snapshot.holdout_ppm)
        compiled = compile_flag(flag, around)
        needs = self._needs_of(flag)
        if needs:
            self._needs[flag_key] = needs
        return self._flags.setdefault(flag_key, compiled)

    def segment(self, key: str) -> Matcher | None:
        """Return the compiled segment; None where there is none."""
        contains = self._segments.get(key)
        if contains is not None:
            return contains
        segment = self.snapshot.segments.get(SegmentKey(key))
        return None if segment is None else self._segments.setdefault(key, compile_segment(segment))

    def apply(self, change: Change) -> "CompiledSnapshot":
        """Return the snapshot after `change`.

        Compiled anew are the flag that changed, flags that need it or the segment that changed,
        and, where the holdout changed, all.

        Raises:
            ValueError: the change is not the one that follows this snapshot.
        """
        after = CompiledSnapshot(self.snapshot.after(change))
        flags, needs, segments = {**self._flags}, {**self._needs}, {**self._segments}
        after._segments = segments
        if isinstance(change, HoldoutChange):
            return after
        if isinstance(change, FlagChange):
            flags.pop(change.key, None)
            needs.pop(change.key, None)
        else:
            segments.pop(change.key, None)
        need = type(change), str(change.key)
        for stale in [key for key, needed in needs.items() if need in needed]:
            flags.pop(stale, None)
            del needs[stale]
        after._flags, after._needs = flags, needs
        return after

    def _prerequisites(self, flag: Flag) -> Met | None:
        if not flag.prerequisites:
            return None
        if is_endless(flag, self.snapshot.flags):
            return lambda _, __: False
        wanted = tuple(
            (self.chooser(each.flag), frozenset(each.variants)) for each in flag.prerequisites
        )

        def met(unit_id: object, attributes: Attributes | None) -> bool:
            return all(choose(unit_id, attributes).variant in keys for choose, keys in wanted)

        return met

    def _needs_of(self, flag: Flag) -> frozenset[Need]:
        if not flag.prerequisites and not flag.rules:
            return frozenset()
        flags = self.snapshot.flags
        keys = needed_flags(flag, flags)
        around = [flag, *(flags[key] for key in keys if key in flags)]
        return frozenset((FlagChange, str(key)) for key in keys) | frozenset(
            (SegmentChange, str(value))
            for each in around
            for rule in each.rules
            for clause in rule.clauses
            if clause.operator is Operator.IN_SEGMENT
            for value in clause.values
        )
