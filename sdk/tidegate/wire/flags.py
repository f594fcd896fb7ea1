"""Flags.

`flag_from_message` reads drafts too, whose fields that the server sets are still empty.
"""

from collections.abc import Iterable

from tidegate.errors import WireError
from tidegate.model import (
    PPM,
    Direction,
    Flag,
    FlagKey,
    LayerSlot,
    Metric,
    Override,
    Phase,
    Prerequisite,
    Revision,
    Rule,
    RuleSplit,
    SplitShare,
    Variant,
    VariantKey,
)
from tidegate.structs import json_from_struct, struct_from_json
from tidegate.v1 import flag_pb2
from tidegate.wire.clauses import clauses_from_messages, clauses_to_messages
from tidegate.wire.fields import (
    allocation_from_message,
    allocation_to_message,
    at_least,
    checked_ppm,
    time_from_message,
    time_to_message,
)

_DIRECTIONS = {
    flag_pb2.DIRECTION_UNSPECIFIED: Direction.UNKNOWN,
    flag_pb2.DIRECTION_LOWER_IS_BETTER: Direction.LOWER,
    flag_pb2.DIRECTION_HIGHER_IS_BETTER: Direction.HIGHER,
}
_DIRECTION_NUMBERS = {direction: number for number, direction in _DIRECTIONS.items()}


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
        allocation=allocation_to_message(flag.allocation),
        phase=flag.phase,
        revision=flag.revision,
        create_time=time_to_message(flag.create_time),
        update_time=time_to_message(flag.update_time),
        enrolment_ppm=None if flag.enrolment_ppm == PPM else flag.enrolment_ppm,
        layer=None if flag.layer is None else _layer_to_message(flag.layer),
        prerequisites=[
            flag_pb2.Prerequisite(flag_key=each.flag, variants=each.variants)
            for each in flag.prerequisites
        ],
        unit_attribute=flag.unit_attribute,
        ignores_holdout=flag.ignores_holdout,
    )


def split_to_messages(split: Iterable[SplitShare]) -> list[flag_pb2.SplitShare]:
    """Return the shares of a split as messages."""
    return [flag_pb2.SplitShare(variant=share.variant, share_ppm=share.ppm) for share in split]


def split_from_messages(
    messages: Iterable[flag_pb2.SplitShare], path: str = "split"
) -> tuple[SplitShare, ...]:
    """Return the split that messages describe; `path` leads to it in errors.

    Raises:
        WireError: a share is out of its range.
    """
    split = tuple(SplitShare(VariantKey(share.variant), share.share_ppm) for share in messages)
    for i, share in enumerate(split):
        checked_ppm(share.ppm, f"{path}[{i}].share_ppm")
    return split


def flag_from_message(message: flag_pb2.Flag, *, newer_server: bool = False) -> Flag:
    """Return the flag that a message describes, which may be a draft (see the module).

    newer_server: whether a number of an enum that is not known is taken for the harmless one (an
        operator that never matches, a direction that is unknown), rather than being an error.

    Raises:
        WireError: an enum's number is not known, or a number is out of its range.
    """
    allocation = allocation_from_message(message.allocation)
    at_least(0 if not allocation.starts else 1, message.phase, "phase")
    at_least(0, message.revision, "revision")
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
            _rule(rule, f"rules[{i}]", newer_server=newer_server)
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
        create_time=time_from_message(message, "create_time"),
        update_time=time_from_message(message, "update_time"),
        enrolment_ppm=checked_ppm(message.enrolment_ppm, "enrolment_ppm")
        if message.HasField("enrolment_ppm")
        else PPM,
        layer=_layer(message.layer) if message.HasField("layer") else None,
        prerequisites=tuple(
            Prerequisite(FlagKey(each.flag_key), tuple(map(VariantKey, each.variants)))
            for each in message.prerequisites
        ),
        unit_attribute=message.unit_attribute,
        ignores_holdout=message.ignores_holdout,
    )


def _rule(message: flag_pb2.Rule, path: str, *, newer_server: bool) -> Rule:
    clauses = clauses_from_messages(message.clauses, path, newer_server=newer_server)
    if message.WhichOneof("serve") != "split":
        return Rule(message.name, clauses, VariantKey(message.variant))
    shares = split_from_messages(message.split.shares, f"{path}.split.shares")
    allocation = allocation_from_message(message.split.allocation, f"{path}.split.allocation")
    return Rule(message.name, clauses, RuleSplit(shares, allocation))


def _layer(message: flag_pb2.LayerSlot) -> LayerSlot:
    return LayerSlot(
        message.layer,
        checked_ppm(message.share_ppm, "layer.share_ppm"),
        allocation_from_message(message.allocation, "layer.allocation"),
    )


def _direction(message: flag_pb2.Metric, path: str, *, newer_server: bool) -> Direction:
    direction = _DIRECTIONS.get(message.direction)
    if direction is None:
        if newer_server:
            return Direction.UNKNOWN
        raise WireError(f"{path}.direction: {message.direction} is no known direction")
    return direction


def _rule_to_message(rule: Rule, path: str) -> flag_pb2.Rule:
    message = flag_pb2.Rule(name=rule.name, clauses=clauses_to_messages(rule.clauses, path))
    if isinstance(rule.serve, RuleSplit):
        message.split.shares.extend(split_to_messages(rule.serve.shares))
        message.split.allocation.CopyFrom(allocation_to_message(rule.serve.allocation))
    else:
        message.variant = rule.serve
    return message


def _layer_to_message(slot: LayerSlot) -> flag_pb2.LayerSlot:
    return flag_pb2.LayerSlot(
        layer=slot.layer,
        share_ppm=slot.ppm,
        allocation=allocation_to_message(slot.allocation),
    )
