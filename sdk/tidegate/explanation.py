"""Explanation: every step of an evaluation, in words.

It takes the same steps as evaluation, with the same parts, one after the other and slowly.
"""

from bisect import bisect_right
from dataclasses import dataclass

from tidegate.attributes import Attributes, randomised_unit
from tidegate.bucketing import LONGEST_UNIT_ID, bucket, plain_unit_id
from tidegate.clause_words import clause_words, value_words
from tidegate.compiled_flag import Builder
from tidegate.evaluation import Assignment, CompiledSnapshot
from tidegate.given import Given, Grant
from tidegate.model import BUCKETS, PPM, Allocation, Flag, FlagKey, Reason, Rule, RuleSplit
from tidegate.prerequisites import is_endless


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the fields of `Step` in assignment_service.proto."""

    subject: str
    name: str
    decided: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a unit is given, and the steps that led there; the last one decided."""

    assignment: Assignment
    steps: tuple[Step, ...]


def explain(
    compiled: CompiledSnapshot,
    flag_key: str,
    unit_id: str,
    attributes: Attributes | None = None,
) -> Explanation:
    """Return what `compiled.evaluate` gives for the same arguments, and why.

    Raises:
        AttributeError: `attributes` is no mapping.
    """
    assignment = Assignment()
    assignment.unit_id = unit_id
    flag = compiled.snapshot.flags.get(FlagKey(flag_key))
    if flag is None:
        given = compiled.chooser(flag_key)(unit_id, attributes)
        assignment.grant = Grant(given, compiled.revision)
        detail = f"there is no such flag at revision {compiled.revision}"
        return Explanation(assignment, (Step("flag", flag_key, True, detail),))
    walk = _Walk(compiled, flag, unit_id, attributes)
    assignment.grant = Grant(walk.given(), compiled.revision)
    assignment.unit_id = walk.randomised  # type: ignore[assignment]
    return Explanation(assignment, tuple(walk.steps))


class _Walk:
    """Goes through a flag's steps until one decides."""

    def __init__(
        self,
        compiled: CompiledSnapshot,
        flag: Flag,
        unit_id: object,
        attributes: Attributes | None,
    ) -> None:
        self.steps: list[Step] = []
        self._compiled = compiled
        self._flag = flag
        self._build = Builder(flag)
        self._unit_id = unit_id
        self._attributes = attributes or {}
        self.randomised = randomised_unit(flag.unit_attribute, unit_id, attributes)
        self._unit = plain_unit_id(self.randomised) or ""

    def given(self) -> Given:
        """Take the steps, and return what the unit is given."""
        return (
            self._invalid()
            or self._killed()
            or self._overridden()
            or self._unmet()
            or self._held_out()
            or self._outside_layer()
            or self._ruled()
            or self._not_enrolled()
            or self._split()
        )

    def _step(self, subject: str, given: Given | None, detail: str, name: str = "") -> Given | None:
        self.steps.append(Step(subject, name, given is not None, detail))
        return given

    def _invalid(self) -> Given | None:
        attribute, words = self._flag.unit_attribute, value_words(self.randomised)
        if not self._unit:
            detail = f"{words} is no string of 1 to {LONGEST_UNIT_ID:,} characters"
            return self._step("unit", self._build.invalid, detail, attribute)
        if not attribute:
            return None
        if randomised_unit(attribute, None, self._attributes) is None:
            detail = f"the attribute is no text and no integer; the unit's id, {words}, counts"
        else:
            detail = f"the attribute, {words}, counts in place of the unit's id"
        return self._step("unit", None, detail, attribute)

    def _killed(self) -> Given | None:
        if not self._flag.killed:
            return self._step("kill switch", None, "off")
        given = self._build.killed()(self._unit, None)
        return self._step("kill switch", given, f"on: everybody is given {given.variant}")

    def _overridden(self) -> Given | None:
        overrides = self._build.overrides()
        given = overrides.get(self._unit)
        if given is not None:
            return self._step("override", given, f"names the unit: {given.variant}")
        if overrides:
            self._step("override", None, f"none of {len(overrides):,} names the unit")
        return None

    def _unmet(self) -> Given | None:
        flag = self._flag
        unmet = self._build.given(flag.default, Reason.PREREQUISITE)
        if is_endless(flag, self._compiled.snapshot.flags):
            detail = "they lead round in a circle, or are too many"
            return self._step("prerequisite", unmet, detail)
        for each in flag.prerequisites:
            other = self._compiled.evaluate(each.flag, self._unit_id, self._attributes)  # type: ignore[arg-type]
            met = other.variant in each.variants
            given = f"gives {other.variant or 'no variant'} ({other.reason})"
            needed = f"needed: {' or '.join(each.variants)}"
            if self._step("prerequisite", None if met else unmet, f"{given}; {needed}", each.flag):
                return unmet
        return None

    def _held_out(self) -> Given | None:
        ppm = self._compiled.snapshot.holdout_ppm
        if ppm and self._flag.ignores_holdout:
            return self._step("holdout", None, "ignored by the flag")
        gate = self._build.holdout(ppm)
        if gate is None:
            return None
        detail = f"{self._position('holdout')}; held out is below {_percent(ppm)}"
        return self._step("holdout", gate(self._unit, None), detail)

    def _outside_layer(self) -> Given | None:
        slot, gate = self._flag.layer, self._build.layer()
        if slot is None or gate is None:
            return None
        given = gate(self._unit, None)
        lies = self._place(f"layer:{slot.layer}", slot.allocation)
        detail = f"{lies}, {'in' if given is None else 'outside'} the flag's slot"
        return self._step("layer", given, detail, slot.layer)

    def _ruled(self) -> Given | None:
        find = self._compiled.segment
        rules = zip(self._flag.rules, self._build.rules(find), strict=True)
        for rule, (matches, serve) in rules:
            given = serve(self._unit, None) if matches(self._attributes, self._unit) else None
            clauses = [
                clause_words(clause, self._attributes, self._unit, find) for clause in rule.clauses
            ]
            if given is not None:
                clauses.append(self._served(rule, given))
            if self._step("rule", given, "; ".join(clauses), rule.name):
                return given
        return None

    def _served(self, rule: Rule, given: Given) -> str:
        if not isinstance(rule.serve, RuleSplit):
            return f"gives {given.variant}"
        return f"{self._place(self._flag.salt, rule.serve.allocation)}: {given.variant}"

    def _not_enrolled(self) -> Given | None:
        gate = self._build.enrolment()
        if gate is None:
            return None
        lies = self._position(f"enrolment:{self._flag.salt}")
        detail = f"{lies}; enrolled is below {_percent(self._flag.enrolment_ppm)}"
        return self._step("enrolment", gate(self._unit, None), detail)

    def _split(self) -> Given:
        given = self._build.split()(self._unit, None)
        lies = self._place(self._flag.salt, self._flag.allocation)
        self._step("split", given, f"{lies}: {given.variant}")
        return given

    def _position(self, salt: str) -> str:
        return f"the unit is at {_percent(_ppm(bucket(salt, self._unit)))}"

    def _place(self, salt: str, allocation: Allocation) -> str:
        """Return where the unit lies, and the range that holds it."""
        index = bisect_right(allocation.starts, bucket(salt, self._unit)) - 1
        start, end = (*allocation.starts, BUCKETS)[index : index + 2]
        between = f"from {_percent(_ppm(start))} to {_percent(_ppm(end))}"
        return f"{self._position(salt)}, in the range {between}"


def _ppm(bucket: int) -> int:
    """Return where a bucket lies, rounded down: so it is never on the wrong side of a boundary."""
    return bucket * PPM // BUCKETS


def _percent(ppm: int) -> str:
    return f"{ppm / (PPM // 100):.4f}".rstrip("0").rstrip(".") + " %"
