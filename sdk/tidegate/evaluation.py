"""Evaluation: snapshot + flag + unit + attributes → assignment. Pure, and the only implementation.

Order: kill switch → override of the unit → targeting rules, first match → split.

Everything a flag can answer is built when the flag is compiled, which happens when it is first
asked for; after that an answer costs one hash and one binary search.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tidegate.bucketing import splitter
from tidegate.model import (
    Change,
    Flag,
    FlagKey,
    Phase,
    Reason,
    Revision,
    Snapshot,
    VariantKey,
)
from tidegate.read_only import freeze
from tidegate.targeting import Attributes, Matcher, compile_clauses

NO_PHASE = Phase(0)
"""Stands where there is no flag."""


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a unit is given, and why: built once for a flag and shared by all its units.

    `variant` is "" where `reason` says that there is none; then `value` is the caller's default.
    `rule` names the rule for Reason.RULE, otherwise it is "". `phase` is 0 where there is no flag.
    Compared by identity.
    """

    flag: FlagKey
    variant: VariantKey
    value: Any
    reason: Reason
    rule: str
    phase: Phase

    def with_value(self, value: Any) -> "Given":
        """Return the same with another value."""
        return replace(self, value=value)


Chooser: TypeAlias = Callable[[object, Attributes | None], Given]
"""A compiled flag: from a unit's id and attributes to what the unit is given."""


class Assignment:
    """A unit's variant: what it was given, and at which revision of the environment.

    Filled attribute by attribute, which takes half the time of an __init__; not to be changed.
    """

    __slots__ = ("given", "revision", "unit_id")

    given: Given
    revision: Revision
    unit_id: str

    @property
    def flag(self) -> FlagKey:
        """Key of the flag that was asked for."""
        return self.given.flag

    @property
    def variant(self) -> VariantKey:
        """Key of the variant; "" where `reason` says that there is none."""
        return self.given.variant

    @property
    def value(self) -> Any:
        """The variant's value, a read-only dictionary; the caller's default without a variant."""
        return self.given.value

    @property
    def reason(self) -> Reason:
        """What decided."""
        return self.given.reason

    @property
    def rule(self) -> str:
        """Name of the rule that matched, for Reason.RULE; otherwise ""."""
        return self.given.rule

    @property
    def phase(self) -> Phase:
        """The flag's phase (>= 1); 0 where there is no flag."""
        return self.given.phase

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(flag={self.flag!r}, unit_id={self.unit_id!r}, "
            f"variant={self.variant!r}, reason={self.reason.value!r}, rule={self.rule!r}, "
            f"revision={self.revision}, phase={self.phase})"
        )


class CompiledSnapshot:
    """A snapshot in the form that evaluates units. Immutable but for what it has yet to compile.

    `choosers` holds the flags compiled so far; ask `chooser` for one that is not there.
    """

    __slots__ = ("_missing", "choosers", "revision", "snapshot")

    def __init__(self, snapshot: Snapshot, *, missing: Reason = Reason.FLAG_NOT_FOUND) -> None:
        """`missing` is the reason given for a flag that the snapshot does not have."""
        self.snapshot = snapshot
        self.revision = snapshot.revision
        self.choosers: dict[str, Chooser] = {}
        self._missing = missing

    @classmethod
    def not_ready(cls) -> "CompiledSnapshot":
        """Return what stands in until there is a snapshot: every flag is NOT_READY."""
        return cls(Snapshot(Revision(0)), missing=Reason.NOT_READY)

    def evaluate(
        self, flag_key: str, unit_id: str, attributes: Attributes | None = None
    ) -> Assignment:
        """Assign one unit. Invalid units and unknown flags are answered by a reason.

        Raises:
            AttributeError: `attributes` is no mapping.
        """
        assignment = Assignment()
        assignment.given = self.chooser(flag_key)(unit_id, attributes)
        assignment.revision = self.revision
        assignment.unit_id = unit_id
        return assignment

    def chooser(self, flag_key: str) -> Chooser:
        """Return the compiled flag; for an unknown one, what gives nothing and says why."""
        chooser = self.choosers.get(flag_key)
        if chooser is not None:
            return chooser
        flag = self.snapshot.flags.get(FlagKey(flag_key))
        if flag is None:
            return _always(_nothing(flag_key, self._missing))
        return self.choosers.setdefault(flag_key, compile_flag(flag))

    def apply(self, change: Change) -> "CompiledSnapshot":
        """Return the snapshot after `change`; only the flag that changed is compiled anew.

        Raises:
            ValueError: the change is not the one that follows this snapshot.
        """
        if change.revision != self.revision + 1:
            raise ValueError(
                f"change.revision: {change.revision} does not follow {self.revision}; "
                "begin again from a snapshot"
            )
        flags = dict(self.snapshot.flags)
        choosers = self.choosers.copy()
        choosers.pop(change.key, None)
        if change.flag is None:
            flags.pop(change.key, None)
        else:
            flags[change.key] = change.flag
        after = CompiledSnapshot(Snapshot(change.revision, flags))
        after.choosers = choosers
        return after


def compile_flag(flag: Flag) -> Chooser:
    """Return the function that evaluates one flag.

    Raises:
        KeyError: the flag names a variant that it does not have.
    """
    build = _Builder(flag)
    invalid = build.invalid()
    if flag.killed:
        return splitter(flag.salt, (0,), (build.given(flag.default, Reason.KILLED),), invalid)
    by_variant = {key: build.given(key, Reason.SPLIT) for key in flag.allocation.variants}
    split = splitter(
        flag.salt,
        flag.allocation.starts,
        [by_variant[key] for key in flag.allocation.variants],
        invalid,
    )
    if not flag.rules and not flag.overrides:
        return split
    overrides = {
        override.unit_id: build.given(override.variant, Reason.OVERRIDE)
        for override in flag.overrides
    }
    rules = tuple(
        (compile_clauses(rule.clauses), build.given(rule.variant, Reason.RULE, rule.name))
        for rule in flag.rules
    )
    return _targeted(split, invalid, overrides, rules)


def _targeted(
    split: Chooser,
    invalid: Given,
    overrides: Mapping[str, Given],
    rules: tuple[tuple[Matcher, Given], ...],
) -> Chooser:
    def choose(unit_id: object, attributes: Attributes | None) -> Given:
        given = split(unit_id, None)
        if given is invalid:
            return given
        if overrides and unit_id in overrides:
            return overrides[unit_id]  # type: ignore[index]
        if attributes:
            for matches, of_rule in rules:
                if matches(attributes):
                    return of_rule
        return given

    return choose


class _Builder:
    """Builds what one flag can give."""

    def __init__(self, flag: Flag) -> None:
        self._flag = flag
        self._values = {variant.key: freeze(variant.value) for variant in flag.variants}

    def given(self, variant: VariantKey, reason: Reason, rule: str = "") -> Given:
        """Return what a unit is given with `variant`."""
        flag = self._flag
        return Given(flag.key, variant, self._values[variant], reason, rule, flag.phase)

    def invalid(self) -> Given:
        """Return what is given for an invalid id of a unit."""
        return _nothing(self._flag.key, Reason.INVALID_UNIT, self._flag.phase)


def _nothing(flag_key: str, reason: Reason, phase: Phase = NO_PHASE) -> Given:
    return Given(FlagKey(flag_key), VariantKey(""), None, reason, "", phase)


def _always(given: Given) -> Chooser:
    return lambda _, __: given
