"""What one flag can give, as tables: taken from evaluation, so that its rules stand in one place.

Only a flag whose answer is a function of a unit's bucket and attributes, or an override, can be put
in tables: `covered` tells. Its buckets fall into ranges in which no split changes hands. With its
overrides taken away and every split narrowed to the one variant that a range belongs to, such a
flag gives the same to any unit: one evaluation tells what that is.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.evaluation import Assignment, CompiledSnapshot
from tidegate.model import (
    Allocation,
    Clause,
    Flag,
    Operator,
    Reason,
    Rule,
    RuleSplit,
    Snapshot,
)

FLAG_FIELDS = frozenset(
    {
        "key",
        "variants",
        "default",
        "split",
        "salt",
        "allocation",
        "phase",
        "revision",
        "rules",
        "overrides",
        "killed",
        "description",
        "metrics",
        "create_time",
        "update_time",
    }
)
SNAPSHOT_FIELDS = frozenset({"revision", "flags", "segments"})
RULE_FIELDS = frozenset({"name", "clauses", "serve"})
CLAUSE_FIELDS = frozenset({"attribute", "operator", "values", "negate"})
OPERATORS = frozenset(
    {
        Operator.IN,
        Operator.CONTAINS,
        Operator.STARTS_WITH,
        Operator.ENDS_WITH,
        Operator.LESS,
        Operator.LESS_OR_EQUAL,
        Operator.GREATER,
        Operator.GREATER_OR_EQUAL,
        Operator.EXISTS,
        Operator.MATCHES,
        Operator.VERSION_EQUAL,
        Operator.VERSION_LESS,
        Operator.VERSION_LESS_OR_EQUAL,
        Operator.VERSION_GREATER,
        Operator.VERSION_GREATER_OR_EQUAL,
        Operator.BEFORE,
        Operator.AFTER,
    }
)
"""Those that look at the clause's own attribute and nothing else."""

ANY_UNIT = "unit"


def covered(flag: Flag, around: Snapshot) -> bool:
    """Tell whether tables can say what the flag gives; what they don't know must not be in use."""
    clauses = [clause for rule in flag.rules for clause in rule.clauses]
    return (
        _uses_only(FLAG_FIELDS, flag)
        and _uses_only(SNAPSHOT_FIELDS, around)
        and all(_uses_only(RULE_FIELDS, rule) for rule in flag.rules)
        and all(_uses_only(CLAUSE_FIELDS, clause) for clause in clauses)
        and all(clause.operator in OPERATORS for clause in clauses)
    )


def relevant_attributes(flag: Flag) -> frozenset[str]:
    """Return the names of the attributes that a covered flag looks at."""
    return frozenset(clause.attribute for rule in flag.rules for clause in rule.clauses)


def range_starts(flag: Flag) -> list[int]:
    """Return the first bucket of each range in which no split of the flag changes hands."""
    splits = [rule.serve for rule in flag.rules if isinstance(rule.serve, RuleSplit)]
    allocations = [flag.allocation, *(split.allocation for split in splits)]
    return sorted({start for allocation in allocations for start in allocation.starts})


class Outcomes:
    """Numbers what a flag gives: a variant, or none, for a reason.

    `variants` and `reasons` name what the two results of `columns` point to.
    """

    def __init__(self, flag: Flag, around: Snapshot) -> None:
        self._flag = flag
        self._around = around
        self._evaluator = self._compiled(flag)
        self.variants = tuple(variant.key for variant in flag.variants)
        self.reasons = tuple(Reason)
        self._variant_places = {key: place for place, key in enumerate(self.variants)}
        self._reason_places = {reason: place for place, reason in enumerate(self.reasons)}
        every = np.arange((len(self.variants) + 1) * len(self.reasons))
        self._variant_of = (every // len(self.reasons) - 1).astype(np.int8)
        self._reason_of = (every % len(self.reasons)).astype(np.int8)

    def of_unit(self, unit_id: Any, attributes: dict[str, Any]) -> int:
        """Return the number of what one unit is given."""
        return self._number(self._evaluator.evaluate(self._flag.key, unit_id, attributes))

    def of_ranges(self, combinations: Sequence[dict[str, Any]]) -> NDArray[np.int16]:
        """Return the numbers of what each combination of attributes gets in each range.

        The shape is (combinations, ranges as `range_starts`). The flag must be covered.
        """
        probes = [self._compiled(_narrowed(self._flag, at)) for at in range_starts(self._flag)]
        table = np.empty((len(combinations), len(probes)), np.int16)
        for row, attributes in enumerate(combinations):
            for place, probe in enumerate(probes):
                given = probe.evaluate(self._flag.key, ANY_UNIT, attributes)
                table[row, place] = self._number(given)
        return table

    def columns(self, numbers: NDArray[np.int16]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Return the places in `variants` (-1: none) and in `reasons` of what has these numbers."""
        return self._variant_of.take(numbers), self._reason_of.take(numbers)

    def _compiled(self, flag: Flag) -> CompiledSnapshot:
        flags = {**self._around.flags, flag.key: flag}
        return CompiledSnapshot(replace(self._around, flags=flags))

    def _number(self, assignment: Assignment) -> int:
        place = self._variant_places.get(assignment.variant, -1)
        return (place + 1) * len(self.reasons) + self._reason_places[assignment.reason]


def _narrowed(flag: Flag, bucket: int) -> Flag:
    """Return the flag without overrides, and with every split as it is at one bucket."""
    rules = tuple(
        replace(rule, serve=replace(rule.serve, allocation=_at(rule.serve.allocation, bucket)))
        if isinstance(rule.serve, RuleSplit)
        else rule
        for rule in flag.rules
    )
    return replace(flag, overrides=(), rules=rules, allocation=_at(flag.allocation, bucket))


def _at(allocation: Allocation, bucket: int) -> Allocation:
    owner = allocation.variants[bisect_right(allocation.starts, bucket) - 1]
    return Allocation((0,), (owner,))


def _uses_only(known: frozenset[str], value: Snapshot | Flag | Rule | Clause) -> bool:
    return all(
        field.name in known or getattr(value, field.name) == _default(field)
        for field in fields(value)
    )


def _default(field: "Field[Any]") -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default  # MISSING, which nothing equals, where there is none
