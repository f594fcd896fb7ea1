"""One flag as a function: everything it can give is built beforehand.

A flag that has nothing but a split is one hash and one binary search; what a flag does not use
costs it nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tidegate.attributes import Attributes, randomised_unit
from tidegate.bucketing import boundary, splitter
from tidegate.given import Chooser, Given, always, nothing
from tidegate.model import PPM, Flag, Operator, Reason, Rule, RuleSplit, VariantKey
from tidegate.read_only import freeze
from tidegate.targeting import FindSegment, Matcher, compile_clauses

Met: TypeAlias = Callable[[object, Attributes | None], bool]
"""From a unit's id and attributes to whether the flag's prerequisites are met."""

Gate: TypeAlias = Callable[[object, object], Given | None]
"""From a unit to what it is given instead of all that comes behind; None: it may pass."""

CompiledRule: TypeAlias = tuple[Matcher, Chooser]
"""A rule's clauses, and what it serves."""

_BEFORE_PREREQUISITES = frozenset({Reason.INVALID_UNIT, Reason.KILLED, Reason.OVERRIDE})
"""What is decided whether prerequisites are met or not."""

_NO_ATTRIBUTES: Attributes = {}


@dataclass(frozen=True, slots=True)
class Around:
    """What a flag takes from the snapshot it is in.

    met: tells whether the prerequisites are met; None where there are none.
    holdout_ppm: share of units in the global holdout, in [0, PPM].
    """

    find_segment: FindSegment
    met: Met | None
    holdout_ppm: int


def compile_flag(flag: Flag, around: Around) -> Chooser:
    """Return the function that evaluates one flag.

    Raises:
        KeyError: the flag names a variant that it does not have.
    """
    build = Builder(flag)
    if flag.killed:
        return _of_attribute(flag.unit_attribute, build.killed())
    split = _gated(build.enrolment(), build.split())
    gate = _both(build.holdout(around.holdout_ppm), build.layer())
    if flag.overrides or flag.rules:
        choose = _targeted(build, split, gate, around.find_segment)
    else:
        choose = _gated(gate, split)
    choose = _of_attribute(flag.unit_attribute, choose)
    if around.met is None:
        return choose
    return _if_met(around.met, build.given(flag.default, Reason.PREREQUISITE), choose)


def _targeted(build: "Builder", split: Chooser, gate: Gate | None, find: FindSegment) -> Chooser:
    invalid, overrides, rules = build.invalid, build.overrides(), build.rules(find)
    by_unit = _by_unit(build.flag.rules, rules)

    def choose(unit: Any, attributes: Attributes | None) -> Given:
        given = split(unit, None)
        if given is invalid:
            return given
        if overrides and unit in overrides:
            return overrides[unit]
        if gate is not None:
            stopped = gate(unit, None)
            if stopped is not None:
                return stopped
        if not attributes:
            return given if by_unit is None else by_unit(unit, None) or given
        for matches, serve in rules:
            if matches(attributes, unit):
                return serve(unit, None)
        return given

    return choose


def _by_unit(rules: tuple[Rule, ...], compiled: tuple[CompiledRule, ...]) -> Gate | None:
    """Return what the rules give that can match without attributes; None if there are none."""
    those = tuple(
        pair
        for rule, pair in zip(rules, compiled, strict=True)
        if all(clause.operator is Operator.IN_SEGMENT for clause in rule.clauses)
    )

    def choose(unit: Any, _: object) -> Given | None:
        for matches, serve in those:
            if matches(_NO_ATTRIBUTES, unit):
                return serve(unit, None)
        return None

    return choose if those else None


def _of_attribute(attribute: str, choose: Chooser) -> Chooser:
    if not attribute:
        return choose
    return lambda unit_id, attributes: choose(
        randomised_unit(attribute, unit_id, attributes), attributes
    )


def _if_met(met: Met, unmet: Given, choose: Chooser) -> Chooser:
    def choose_if_met(unit_id: object, attributes: Attributes | None) -> Given:
        given = choose(unit_id, attributes)
        if given.reason in _BEFORE_PREREQUISITES or met(unit_id, attributes):
            return given
        return unmet

    return choose_if_met


def _both(first: Gate | None, second: Gate | None) -> Gate | None:
    if first is None or second is None:
        return first or second
    return lambda unit, _: first(unit, None) or second(unit, None)


def _gated(gate: Gate | None, split: Chooser) -> Chooser:
    if gate is None:
        return split
    return lambda unit, _: gate(unit, None) or split(unit, None)


class Builder:
    """Builds what one flag can give, and the parts of the function that does."""

    def __init__(self, flag: Flag) -> None:
        self.flag = flag
        self._values = {variant.key: freeze(variant.value) for variant in flag.variants}
        self.invalid = nothing(flag.key, Reason.INVALID_UNIT, flag.phase, flag.unit_attribute)

    def given(self, variant: VariantKey, reason: Reason, rule: str = "") -> Given:
        """Return what a unit is given with `variant`."""
        flag = self.flag
        value = self._values[variant]
        return Given(flag.key, variant, value, reason, rule, flag.phase, flag.unit_attribute)

    def killed(self) -> Chooser:
        """Return what gives everybody the default."""
        killed = self.given(self.flag.default, Reason.KILLED)
        return splitter(self.flag.salt, (0,), (killed,), self.invalid)

    def split(self) -> Chooser:
        """Return what gives each unit the variant of its bucket."""
        flag = self.flag
        by_variant = {key: self.given(key, Reason.SPLIT) for key in flag.allocation.variants}
        results = [by_variant[key] for key in flag.allocation.variants]
        return splitter(flag.salt, flag.allocation.starts, results, self.invalid)

    def enrolment(self) -> Gate | None:
        """Return the gate of enrolment; None if there is none."""
        flag = self.flag
        if flag.enrolment_ppm >= PPM:
            return None
        results = (None, self.given(flag.default, Reason.NOT_ENROLLED))
        return splitter(f"enrolment:{flag.salt}", (0, boundary(flag.enrolment_ppm)), results, None)

    def holdout(self, ppm: int) -> Gate | None:
        """Return the gate of the global holdout; None if there is none."""
        if ppm <= 0 or self.flag.ignores_holdout:
            return None
        results = (self.given(self.flag.default, Reason.HOLDOUT), None)
        return splitter("holdout", (0, boundary(ppm)), results, None)

    def layer(self) -> Gate | None:
        """Return the gate of the flag's layer; None if there is none."""
        slot, own = self.flag.layer, str(self.flag.key)
        if slot is None:
            return None
        outside = self.given(self.flag.default, Reason.LAYER)
        results = [None if owner == own else outside for owner in slot.allocation.variants]
        return splitter(f"layer:{slot.layer}", slot.allocation.starts, results, None)

    def overrides(self) -> Mapping[str, Given]:
        """Return what units with an override are given."""
        return {
            override.unit_id: self.given(override.variant, Reason.OVERRIDE)
            for override in self.flag.overrides
        }

    def rules(self, find: FindSegment) -> tuple[CompiledRule, ...]:
        """Return the rules, in order."""
        return tuple(
            (compile_clauses(rule.clauses, find), self._serve(rule)) for rule in self.flag.rules
        )

    def _serve(self, rule: Rule) -> Chooser:
        """Return what gives a unit the variant, or the rule's own split, of a rule that matched."""
        if not isinstance(rule.serve, RuleSplit):
            return always(self.given(rule.serve, Reason.RULE, rule.name))
        allocation = rule.serve.allocation
        results = [self.given(key, Reason.RULE, rule.name) for key in allocation.variants]
        return splitter(self.flag.salt, allocation.starts, results, self.invalid)
