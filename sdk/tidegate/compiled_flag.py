"""One flag, compiled: everything it can give is built beforehand.

A flag that has nothing but a split is one hash and one binary search; what a flag does not use
costs it nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tidegate.attributes import Attributes, randomised_unit
from tidegate.bucketing import boundary, plain_unit_id, splitter
from tidegate.given import Chooser, Given, always, nothing
from tidegate.model import PPM, Flag, Operator, Reason, Rule, RuleSplit, VariantKey
from tidegate.read_only import freeze
from tidegate.targeting import FindSegment, Matcher, compile_clauses

Met: TypeAlias = Callable[[object, Attributes | None], bool]
"""From a unit's id and attributes to whether the flag's prerequisites are met."""

Gate: TypeAlias = Callable[[object, object], Given | None]
"""From a unit to what it is given instead of all that comes behind; None: it may pass."""

Step: TypeAlias = tuple[Matcher, Chooser]
"""Whom something decides about before the split, a rule for instance, and what they are given."""

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


@dataclass(frozen=True, slots=True)
class Path:
    """What decides about a valid id of a unit: the first step that matches, otherwise the split.

    steps: what comes before the split, in order. unit_steps: those of it that can match without
    attributes, and never look at them. starts, results: the split's ranges (see `Allocation`), and
    what their units are given; the buckets are those of `salt`.
    """

    steps: tuple[Step, ...]
    unit_steps: tuple[Step, ...]
    salt: str
    starts: tuple[int, ...]
    results: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class CompiledFlag:
    """One flag, compiled.

    choose: evaluates it. path: is all that `choose` does, for a valid id of a unit; None where it
    does more, because of prerequisites or of `unit_attribute`, which is the flag's.
    """

    choose: Chooser
    path: Path | None
    unit_attribute: str


def compile_flag(flag: Flag, around: Around) -> CompiledFlag:
    """Compile one flag.

    Raises:
        KeyError: the flag names a variant that it does not have.
    """
    build = Builder(flag)
    path = _path(build, around)
    choose = _chooser(path, build.invalid)
    if not flag.unit_attribute and (around.met is None or flag.killed):
        return CompiledFlag(choose, path, "")
    choose = _of_attribute(flag.unit_attribute, choose)
    if around.met is not None:
        choose = _if_met(around.met, build.given(flag.default, Reason.PREREQUISITE), choose)
    return CompiledFlag(choose, None, flag.unit_attribute)


def _path(build: "Builder", around: Around) -> Path:
    flag = build.flag
    if flag.killed:
        return Path((), (), flag.salt, (0,), (build.given(flag.default, Reason.KILLED),))
    before = (
        *_override(build.overrides()),
        *_gated(build, build.holdout(around.holdout_ppm), Reason.HOLDOUT),
        *_gated(build, build.layer(), Reason.LAYER),
    )
    rules = build.rules(around.find_segment)
    behind = _gated(build, build.enrolment(), Reason.NOT_ENROLLED)
    return Path(
        (*before, *rules, *behind),
        (*before, *_by_unit(flag.rules, rules), *behind),
        flag.salt,
        flag.allocation.starts,
        build.results(),
    )


def _chooser(path: Path, invalid: Given) -> Chooser:
    steps, unit_steps = path.steps, path.unit_steps
    split = splitter(path.salt, path.starts, path.results, invalid)
    if not steps:
        return split

    def choose(unit_id: object, attributes: Attributes | None) -> Given:
        unit = plain_unit_id(unit_id)
        if unit is None:
            return invalid
        for matches, serve in steps if attributes else unit_steps:
            if matches(attributes, unit):  # type: ignore[arg-type]
                return serve(unit, attributes)
        return split(unit, None)

    return choose


def _override(overrides: Mapping[str, Given]) -> tuple[Step, ...]:
    if not overrides:
        return ()
    return ((lambda _, unit: unit in overrides, lambda unit, _: overrides[unit]),)


def _gated(build: "Builder", gate: Gate | None, reason: Reason) -> tuple[Step, ...]:
    """Return the gate as a step: whom it stops is given the default."""
    if gate is None:
        return ()
    stopped = always(build.given(build.flag.default, reason))
    return ((lambda _, unit: gate(unit, None) is not None, stopped),)


def _by_unit(rules: tuple[Rule, ...], compiled: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the rules that can match without attributes."""
    return tuple(
        (_without_attributes(matches), serve)
        for rule, (matches, serve) in zip(rules, compiled, strict=True)
        if all(clause.operator is Operator.IN_SEGMENT for clause in rule.clauses)
    )


def _without_attributes(matches: Matcher) -> Matcher:
    return lambda _, unit: matches(_NO_ATTRIBUTES, unit)


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
        return splitter(self.flag.salt, self.flag.allocation.starts, self.results(), self.invalid)

    def results(self) -> tuple[Given, ...]:
        """Return what the units of each range of the split are given."""
        keys = self.flag.allocation.variants
        by_variant = {key: self.given(key, Reason.SPLIT) for key in keys}
        return tuple(by_variant[key] for key in keys)

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

    def rules(self, find: FindSegment) -> tuple[Step, ...]:
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
