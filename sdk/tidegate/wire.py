"""Values ↔ messages of `tidegate.v1`.

`flag_from_message` reads drafts too, whose fields that the server sets are still empty; to it, an
operator that is not known is an error. What a server serves, in snapshots and changes, must be
complete; but an operator of a newer server is taken as one that never matches, and a flag that
can't be read is left out and reported, so that one flag can't break the others.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf import struct_pb2, timestamp_pb2

from tidegate.errors import WireError
from tidegate.evaluation import Assignment
from tidegate.model import (
    BUCKETS,
    PPM,
    Allocation,
    AttributeValue,
    Change,
    Clause,
    Direction,
    Flag,
    FlagKey,
    Metric,
    Operator,
    Override,
    Phase,
    Reason,
    Revision,
    Rule,
    Snapshot,
    SplitShare,
    Variant,
    VariantKey,
)
from tidegate.structs import json_from_struct, json_from_value, struct_from_json, value_from_json
from tidegate.v1 import assignment_service_pb2, flag_pb2

OnError = Callable[[WireError], None]

_OPERATORS = {
    flag_pb2.OPERATOR_IN: Operator.IN,
    flag_pb2.OPERATOR_CONTAINS: Operator.CONTAINS,
    flag_pb2.OPERATOR_STARTS_WITH: Operator.STARTS_WITH,
    flag_pb2.OPERATOR_ENDS_WITH: Operator.ENDS_WITH,
    flag_pb2.OPERATOR_LESS: Operator.LESS,
    flag_pb2.OPERATOR_LESS_OR_EQUAL: Operator.LESS_OR_EQUAL,
    flag_pb2.OPERATOR_GREATER: Operator.GREATER,
    flag_pb2.OPERATOR_GREATER_OR_EQUAL: Operator.GREATER_OR_EQUAL,
    flag_pb2.OPERATOR_EXISTS: Operator.EXISTS,
}
_OPERATOR_NUMBERS = {operator: number for number, operator in _OPERATORS.items()}

_DIRECTIONS = {
    flag_pb2.DIRECTION_UNSPECIFIED: Direction.UNKNOWN,
    flag_pb2.DIRECTION_LOWER_IS_BETTER: Direction.LOWER,
    flag_pb2.DIRECTION_HIGHER_IS_BETTER: Direction.HIGHER,
}
_DIRECTION_NUMBERS = {direction: number for number, direction in _DIRECTIONS.items()}

_REASONS = {
    assignment_service_pb2.REASON_KILLED: Reason.KILLED,
    assignment_service_pb2.REASON_OVERRIDE: Reason.OVERRIDE,
    assignment_service_pb2.REASON_RULE: Reason.RULE,
    assignment_service_pb2.REASON_SPLIT: Reason.SPLIT,
    assignment_service_pb2.REASON_FLAG_NOT_FOUND: Reason.FLAG_NOT_FOUND,
    assignment_service_pb2.REASON_NOT_READY: Reason.NOT_READY,
    assignment_service_pb2.REASON_INVALID_UNIT: Reason.INVALID_UNIT,
    assignment_service_pb2.REASON_ERROR: Reason.ERROR,
}
_REASON_NUMBERS = {reason: number for number, reason in _REASONS.items()}


# Attributes


def attributes_to_struct(attributes: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return attributes as a Struct.

    Raises:
        WireError: as `struct_from_json`.
    """
    return struct_from_json(attributes, "attributes")


def attributes_from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return the attributes that a Struct holds."""
    return json_from_struct(struct)


# Flags


def flag_to_message(flag: Flag) -> flag_pb2.Flag:
    """Return a flag as a message.

    Raises:
        WireError: a variant's value has no form in JSON.
    """
    return flag_pb2.Flag(
        key=flag.key,
        description=flag.description,
        variants=[
            flag_pb2.Variant(
                key=variant.key,
                value=struct_from_json(variant.value, f"variants[{i}].value"),
            )
            for i, variant in enumerate(flag.variants)
        ],
        default_variant=flag.default,
        split=split_to_messages(flag.split),
        rules=[_rule_to_message(rule, f"rules[{i}]") for i, rule in enumerate(flag.rules)],
        overrides=[
            flag_pb2.Override(unit_id=override.unit_id, variant=override.variant)
            for override in flag.overrides
        ],
        killed=flag.killed,
        salt=flag.salt,
        metrics=[
            flag_pb2.Metric(outcome=metric.outcome, direction=_DIRECTION_NUMBERS[metric.direction])
            for metric in flag.metrics
        ],
        allocation=flag_pb2.Allocation(
            starts=flag.allocation.starts, variants=flag.allocation.variants
        ),
        phase=flag.phase,
        revision=flag.revision,
        create_time=_time_to_message(flag.create_time),
        update_time=_time_to_message(flag.update_time),
    )


def flag_from_message(message: flag_pb2.Flag) -> Flag:
    """Return the flag that a message describes, which may be a draft (see the module).

    Raises:
        WireError: an enum's number is not known, or a number is out of its range.
    """
    return _flag(message, newer_server=False)


def split_to_messages(split: Iterable[SplitShare]) -> list[flag_pb2.SplitShare]:
    """Return the shares of a split as messages."""
    return [flag_pb2.SplitShare(variant=share.variant, share_ppm=share.ppm) for share in split]


def split_from_messages(messages: Iterable[flag_pb2.SplitShare]) -> tuple[SplitShare, ...]:
    """Return the split that messages describe.

    Raises:
        WireError: a share is out of its range.
    """
    split = tuple(SplitShare(VariantKey(share.variant), share.share_ppm) for share in messages)
    for i, share in enumerate(split):
        if not 0 <= share.ppm <= PPM:
            raise WireError(
                f"split[{i}].share_ppm: {share.ppm} is out of range: give 0 to {PPM:,} ppm"
            )
    return split


def _flag(message: flag_pb2.Flag, *, newer_server: bool) -> Flag:
    allocation = _allocation(message.allocation)
    _at_least(0 if not allocation.starts else 1, message.phase, "phase")
    _at_least(0, message.revision, "revision")
    return Flag(
        key=FlagKey(message.key),
        variants=tuple(
            Variant(VariantKey(variant.key), json_from_struct(variant.value))
            for variant in message.variants
        ),
        default=VariantKey(message.default_variant),
        split=split_from_messages(message.split),
        salt=message.salt,
        allocation=allocation,
        phase=Phase(message.phase),
        revision=Revision(message.revision),
        rules=tuple(
            Rule(
                rule.name,
                tuple(
                    _clause(clause, f"rules[{i}].clauses[{j}]", newer_server=newer_server)
                    for j, clause in enumerate(rule.clauses)
                ),
                VariantKey(rule.variant),
            )
            for i, rule in enumerate(message.rules)
        ),
        overrides=tuple(
            Override(override.unit_id, VariantKey(override.variant))
            for override in message.overrides
        ),
        killed=message.killed,
        description=message.description,
        metrics=tuple(
            Metric(metric.outcome, _direction(metric, f"metrics[{i}]", newer_server=newer_server))
            for i, metric in enumerate(message.metrics)
        ),
        create_time=_time(message, "create_time"),
        update_time=_time(message, "update_time"),
    )


def _allocation(message: flag_pb2.Allocation) -> Allocation:
    starts = tuple(message.starts)
    if len(starts) != len(message.variants):
        raise WireError(
            f"allocation: {len(starts)} starts and {len(message.variants)} variants; "
            "there must be as many of each"
        )
    if starts and starts[0] != 0:
        raise WireError(f"allocation.starts[0]: {starts[0]} must be 0")
    for i in range(1, len(starts)):
        if not starts[i - 1] < starts[i] < BUCKETS:
            raise WireError(f"allocation.starts[{i}]: {starts[i]} must be above {starts[i - 1]}")
    return Allocation(starts, tuple(VariantKey(key) for key in message.variants))


def _rule_to_message(rule: Rule, path: str) -> flag_pb2.Rule:
    clauses = [
        flag_pb2.Clause(
            attribute=clause.attribute,
            operator=_OPERATOR_NUMBERS[clause.operator],
            values=[
                value_from_json(value, f"{path}.clauses[{j}].values[{k}]")
                for k, value in enumerate(clause.values)
            ],
            negate=clause.negate,
        )
        for j, clause in enumerate(rule.clauses)
    ]
    return flag_pb2.Rule(name=rule.name, clauses=clauses, variant=rule.variant)


def _clause(message: flag_pb2.Clause, path: str, *, newer_server: bool) -> Clause:
    operator = _OPERATORS.get(message.operator)
    if operator is None:
        if newer_server:
            return Clause(message.attribute, Operator.IN)  # in nothing: never matches
        raise WireError(f"{path}.operator: {message.operator} is no known operator")
    values = tuple(
        _attribute_value(value, f"{path}.values[{k}]") for k, value in enumerate(message.values)
    )
    return Clause(message.attribute, operator, values, message.negate)


def _attribute_value(message: struct_pb2.Value, path: str) -> AttributeValue:
    value = json_from_value(message)
    if isinstance(value, str | int | float):
        return value
    raise WireError(f"{path}: must be a string, a number or a boolean")


def _direction(message: flag_pb2.Metric, path: str, *, newer_server: bool) -> Direction:
    direction = _DIRECTIONS.get(message.direction)
    if direction is None:
        if newer_server:
            return Direction.UNKNOWN
        raise WireError(f"{path}.direction: {message.direction} is no known direction")
    return direction


def _time_to_message(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    if moment is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def _time(message: flag_pb2.Flag, field: str) -> datetime | None:
    if not message.HasField(field):  # type: ignore[arg-type]
        return None
    try:
        moment: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise WireError(f"{field}: is no moment of the years 1 to 9999") from error
    return moment


def _at_least(least: int, number: int, field: str) -> None:
    if number < least:
        raise WireError(f"{field}: {number} is out of range: at least {least}")


# What a server serves


def snapshot_to_message(snapshot: Snapshot) -> assignment_service_pb2.FlagSnapshot:
    """Return a snapshot as a message, flags in the order of their keys."""
    return assignment_service_pb2.FlagSnapshot(
        revision=snapshot.revision,
        flags=[flag_to_message(snapshot.flags[key]) for key in sorted(snapshot.flags)],
    )


def snapshot_from_message(
    message: assignment_service_pb2.FlagSnapshot, on_error: OnError
) -> Snapshot:
    """Return the snapshot that a message describes.

    `on_error` is told of each flag that can't be read; the flag is left out.

    Raises:
        WireError: the revision is out of its range.
    """
    _at_least(0, message.revision, "snapshot.revision")
    flags = {}
    for flag_message in message.flags:
        flag = _served(flag_message, on_error)
        if flag is not None:
            flags[flag.key] = flag
    return Snapshot(Revision(message.revision), flags)


def change_to_message(change: Change) -> assignment_service_pb2.FlagChange:
    """Return a change as a message."""
    if change.flag is None:
        return assignment_service_pb2.FlagChange(revision=change.revision, deleted_key=change.key)
    return assignment_service_pb2.FlagChange(
        revision=change.revision, flag=flag_to_message(change.flag)
    )


def change_from_message(message: assignment_service_pb2.FlagChange, on_error: OnError) -> Change:
    """Return the change that a message describes.

    `on_error` is told if the flag can't be read; it then counts as deleted, as in a snapshot.

    Raises:
        WireError: the revision is out of its range, or nothing is said to have changed.
    """
    _at_least(1, message.revision, "change.revision")
    revision = Revision(message.revision)
    match message.WhichOneof("change"):
        case "flag":
            key = FlagKey(message.flag.key)
            return Change(revision, key, _served(message.flag, on_error))
        case "deleted_key":
            return Change(revision, FlagKey(message.deleted_key), None)
    raise WireError("change: neither flag nor deleted_key is set")


def _served(message: flag_pb2.Flag, on_error: OnError) -> Flag | None:
    try:
        flag = _flag(message, newer_server=True)
        _check_complete(flag)
    except WireError as error:
        on_error(WireError(f"flag {message.key!r}: {error}"))
        return None
    return flag


def _check_complete(flag: Flag) -> None:
    if not flag.allocation.starts:
        raise WireError("allocation: is empty")
    known = {variant.key for variant in flag.variants}
    named = [("default_variant", flag.default)]
    named += [(f"allocation.variants[{i}]", key) for i, key in enumerate(flag.allocation.variants)]
    named += [(f"rules[{i}].variant", rule.variant) for i, rule in enumerate(flag.rules)]
    named += [(f"overrides[{i}].variant", item.variant) for i, item in enumerate(flag.overrides)]
    for field, key in named:
        if key not in known:
            raise WireError(f"{field}: the flag has no variant {key!r}")
    for i, rule in enumerate(flag.rules):
        if not rule.clauses:
            raise WireError(f"rules[{i}].clauses: is empty")


# Assignments


def reason_to_number(reason: Reason) -> assignment_service_pb2.Reason.ValueType:
    """Return a reason's number in the protocol."""
    return _REASON_NUMBERS[reason]


def reason_from_number(number: int) -> Reason:
    """Return the reason that a number stands for.

    Raises:
        WireError: the number is not known.
    """
    for known, reason in _REASONS.items():
        if known == number:
            return reason
    raise WireError(f"reason: {number} is no known reason")


def assignment_to_message(assignment: Assignment) -> assignment_service_pb2.Assignment:
    """Return an assignment as a message; without a variant it has no value.

    Raises:
        WireError: the value has no form in JSON.
    """
    message = assignment_service_pb2.Assignment(
        variant=assignment.variant,
        reason=reason_to_number(assignment.reason),
        rule=assignment.rule,
        revision=assignment.revision,
        phase=assignment.phase,
    )
    if assignment.variant:
        message.value.CopyFrom(struct_from_json(assignment.value))
    return message
