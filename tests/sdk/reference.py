"""Evaluation as it is decided, written down plainly: what the SDK's must agree with.

Clauses and segments are the SDK's own: they have tests of their own.
"""

import math
from collections.abc import Mapping
from typing import Any

from tests.sdk import murmur
from tests.sdk.flags import boundary
from tidegate.model import Allocation, Flag, FlagKey, Reason, RuleSplit, SegmentKey, Snapshot
from tidegate.targeting import Matcher, compile_clauses, compile_segment

Result = tuple[str, Reason, str]
"""The variant's key, what decided, and the rule's name."""


def evaluate(
    snapshot: Snapshot, key: str, unit_id: Any, attributes: Mapping[str, Any] | None
) -> Result:
    flag = snapshot.flags.get(FlagKey(key))
    if flag is None:
        return "", Reason.FLAG_NOT_FOUND, ""
    attributes = attributes or {}
    unit = unit_of(flag, unit_id, attributes)
    if not valid(unit):
        return "", Reason.INVALID_UNIT, ""
    if flag.killed:
        return flag.default, Reason.KILLED, ""
    overrides = {override.unit_id: override.variant for override in flag.overrides}
    if unit in overrides:
        return overrides[unit], Reason.OVERRIDE, ""
    if not prerequisites_met(snapshot, flag, unit_id, attributes):
        return flag.default, Reason.PREREQUISITE, ""
    closed = closed_gate(snapshot, flag, unit)
    if closed is not None:
        return flag.default, closed, ""
    return by_rules(snapshot, flag, unit, attributes)


def closed_gate(snapshot: Snapshot, flag: Flag, unit: str) -> Reason | None:
    if not flag.ignores_holdout and bucket("holdout", unit) < boundary(snapshot.holdout_ppm):
        return Reason.HOLDOUT
    slot = flag.layer
    if slot is not None and owner(slot.allocation, bucket(f"layer:{slot.layer}", unit)) != flag.key:
        return Reason.LAYER
    return None


def by_rules(snapshot: Snapshot, flag: Flag, unit: str, attributes: Mapping[str, Any]) -> Result:
    at = bucket(flag.salt, unit)
    for rule in flag.rules:
        if compile_clauses(rule.clauses, lambda key: segment_of(snapshot, key))(attributes, unit):
            if isinstance(rule.serve, RuleSplit):
                return owner(rule.serve.allocation, at), Reason.RULE, rule.name
            return rule.serve, Reason.RULE, rule.name
    if bucket(f"enrolment:{flag.salt}", unit) >= boundary(flag.enrolment_ppm):
        return flag.default, Reason.NOT_ENROLLED, ""
    return owner(flag.allocation, at), Reason.SPLIT, ""


def unit_of(flag: Flag, unit_id: Any, attributes: Mapping[str, Any]) -> Any:
    value = attributes.get(flag.unit_attribute) if flag.unit_attribute else None
    if isinstance(value, float) and abs(value) <= 2**53 and value == math.floor(value):
        return str(math.floor(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**1_000 else ""
    return value if isinstance(value, str) and value else unit_id


def valid(unit: Any) -> bool:
    if not isinstance(unit, str) or not 0 < len(unit) <= 1_000:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in unit)


def prerequisites_met(
    snapshot: Snapshot, flag: Flag, unit_id: Any, attributes: Mapping[str, Any]
) -> bool:
    if leads_to_a_circle(snapshot, flag, ()):
        return False
    return all(
        evaluate(snapshot, each.flag, unit_id, attributes)[0] in each.variants
        for each in flag.prerequisites
    )


def leads_to_a_circle(snapshot: Snapshot, flag: Flag, path: tuple[str, ...]) -> bool:
    if flag.key in path:
        return True
    needed = (snapshot.flags.get(each.flag) for each in flag.prerequisites)
    return any(
        leads_to_a_circle(snapshot, each, (*path, flag.key)) for each in needed if each is not None
    )


def segment_of(snapshot: Snapshot, key: str) -> Matcher | None:
    segment = snapshot.segments.get(SegmentKey(key))
    return None if segment is None else compile_segment(segment)


def bucket(salt: str, unit: str) -> int:
    return murmur.x86_32(f"{salt}:{unit}".encode())


def owner(allocation: Allocation, at: int) -> str:
    ranges = zip(allocation.starts, allocation.variants, strict=True)
    return [variant for start, variant in ranges if start <= at][-1]
