"""Flag files ↔ messages: `to_message` and `to_plain` undo each other."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from tidegate.model import PPM
from tidegate.v1 import flag_pb2
from tidegate_server.cli.flag_document import ClauseDocument, FlagDocument
from tidegate_server.cli.shares import format_share
from tidegate_server.cli.yaml_tree import LARGEST_INTEGER

_OPERATORS: Mapping[str, "flag_pb2.Operator.ValueType"] = {
    "in": flag_pb2.OPERATOR_IN,
    "contains": flag_pb2.OPERATOR_CONTAINS,
    "starts_with": flag_pb2.OPERATOR_STARTS_WITH,
    "ends_with": flag_pb2.OPERATOR_ENDS_WITH,
    "less": flag_pb2.OPERATOR_LESS,
    "less_or_equal": flag_pb2.OPERATOR_LESS_OR_EQUAL,
    "greater": flag_pb2.OPERATOR_GREATER,
    "greater_or_equal": flag_pb2.OPERATOR_GREATER_OR_EQUAL,
    "exists": flag_pb2.OPERATOR_EXISTS,
}
_OPERATOR_NAMES = {operator: name for name, operator in _OPERATORS.items()}
_OTHER_NAMES = {"equals": ("in", False), "not_equals": ("in", True), "not_in": ("in", True)}
"""Further keys in files: the operator they stand for, and whether they turn it round."""

_DIRECTIONS: Mapping[str, "flag_pb2.Direction.ValueType"] = {
    "lower": flag_pb2.DIRECTION_LOWER_IS_BETTER,
    "higher": flag_pb2.DIRECTION_HIGHER_IS_BETTER,
    "unknown": flag_pb2.DIRECTION_UNSPECIFIED,
}
_DIRECTION_NAMES = {direction: name for name, direction in _DIRECTIONS.items()}


def to_message(document: FlagDocument) -> flag_pb2.Flag:
    """Return the flag that a file describes; without a split, the one variant gets everything."""
    split = document.split or {next(iter(document.variants)): PPM}
    return flag_pb2.Flag(
        key=document.flag,
        description=document.description,
        default_variant=document.default,
        variants=[
            flag_pb2.Variant(key=key, value=_to_struct(value))
            for key, value in document.variants.items()
        ],
        split=[flag_pb2.SplitShare(variant=key, share_ppm=ppm) for key, ppm in split.items()],
        rules=[
            flag_pb2.Rule(name=rule.name, clauses=map(_to_clause, rule.when), variant=rule.serve)
            for rule in document.rules
        ],
        overrides=[
            flag_pb2.Override(unit_id=unit_id, variant=key)
            for unit_id, key in document.overrides.items()
        ],
        killed=document.killed,
        salt=document.salt or "",
        metrics=[
            flag_pb2.Metric(outcome=outcome, direction=_DIRECTIONS[metric.direction])
            for outcome, metric in document.metrics.items()
        ],
    )


def to_plain(flag: flag_pb2.Flag) -> dict[str, Any]:
    """Return what a file that describes this flag says, as plain data; defaults are left out."""
    plain: dict[str, Any] = {
        "flag": flag.key,
        "description": flag.description,
        "default": flag.default_variant,
        "variants": {variant.key: _from_struct(variant.value) for variant in flag.variants},
        "split": {share.variant: format_share(share.share_ppm) for share in flag.split},
        "rules": [
            {
                "name": rule.name,
                "when": list(map(_from_clause, rule.clauses)),
                "serve": rule.variant,
            }
            for rule in flag.rules
        ],
        "overrides": {override.unit_id: override.variant for override in flag.overrides},
        "killed": flag.killed,
        "salt": "" if flag.salt == flag.key else flag.salt,
        "metrics": {
            metric.outcome: {"direction": _DIRECTION_NAMES[metric.direction]}
            for metric in flag.metrics
        },
    }
    return {key: value for key, value in plain.items() if value}


def _to_clause(document: ClauseDocument) -> flag_pb2.Clause:
    ((key, values),) = document.given.items()
    name, turned = _OTHER_NAMES.get(key, (key, False))
    return flag_pb2.Clause(
        attribute=document.attribute,
        operator=_OPERATORS[name],
        values=_to_values(values) if isinstance(values, list) else (),
        negate=document.negate != turned,
    )


def _from_clause(clause: flag_pb2.Clause) -> dict[str, Any]:
    name = _OPERATOR_NAMES[clause.operator]
    plain: dict[str, Any] = {"attribute": clause.attribute}
    if name == "exists":
        plain[name] = True
    elif name == "in" and clause.negate:
        return {**plain, "not_in": _from_list(clause.values)}
    else:
        plain[name] = _from_list(clause.values)
    return {**plain, "negate": True} if clause.negate else plain


def _to_struct(value: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(value)
    return struct


def _to_values(values: list[Any]) -> Iterable[Value]:
    items = ListValue()
    items.extend(values)
    return items.values


def _from_struct(struct: Struct) -> dict[str, Any]:
    return {key: _from_value(value) for key, value in sorted(struct.fields.items())}


def _from_list(values: Iterable[Value]) -> list[Any]:
    return list(map(_from_value, values))


def _from_value(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _from_struct(value.struct_value)
        case "list_value":
            return _from_list(value.list_value.values)
        case "number_value":
            return _from_number(value.number_value)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
    return None


def _from_number(number: float) -> int | float:
    """JSON numbers are doubles: show those that are exact integers as such."""
    exact = number.is_integer() and abs(number) <= LARGEST_INTEGER and repr(number) != "-0.0"
    return int(number) if exact else number
