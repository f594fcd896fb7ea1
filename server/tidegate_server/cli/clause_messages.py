"""Items of `when` in files ↔ clauses, and plain data ↔ JSON values of messages."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from tidegate.v1 import flag_pb2
from tidegate_server.cli.clause_document import ClauseDocument, SegmentClauseDocument
from tidegate_server.cli.yaml_tree import LARGEST_INTEGER

_OPERATORS: Mapping[str, "flag_pb2.Operator.ValueType"] = {
    "in": flag_pb2.OPERATOR_IN,
    "contains": flag_pb2.OPERATOR_CONTAINS,
    "starts_with": flag_pb2.OPERATOR_STARTS_WITH,
    "ends_with": flag_pb2.OPERATOR_ENDS_WITH,
    "matches": flag_pb2.OPERATOR_MATCHES,
    "less": flag_pb2.OPERATOR_LESS,
    "less_or_equal": flag_pb2.OPERATOR_LESS_OR_EQUAL,
    "greater": flag_pb2.OPERATOR_GREATER,
    "greater_or_equal": flag_pb2.OPERATOR_GREATER_OR_EQUAL,
    "version_equal": flag_pb2.OPERATOR_VERSION_EQUAL,
    "version_less": flag_pb2.OPERATOR_VERSION_LESS,
    "version_less_or_equal": flag_pb2.OPERATOR_VERSION_LESS_OR_EQUAL,
    "version_greater": flag_pb2.OPERATOR_VERSION_GREATER,
    "version_greater_or_equal": flag_pb2.OPERATOR_VERSION_GREATER_OR_EQUAL,
    "before": flag_pb2.OPERATOR_BEFORE,
    "after": flag_pb2.OPERATOR_AFTER,
    "exists": flag_pb2.OPERATOR_EXISTS,
}
_OPERATOR_NAMES = {operator: name for name, operator in _OPERATORS.items()}
_OTHER_NAMES = {
    "equals": ("in", False),
    "not_equals": ("in", True),
    "not_in": ("in", True),
    "not_matches": ("matches", True),
}
"""Further keys in files: the operator they stand for, and whether they turn it round."""

_NEGATED_NAMES = {"in": "not_in", "matches": "not_matches"}


def to_clauses(
    items: Iterable[ClauseDocument | SegmentClauseDocument],
) -> Iterator[flag_pb2.Clause]:
    """Return the clauses that items of `when` stand for: one for each operator."""
    for item in items:
        if isinstance(item, SegmentClauseDocument):
            for key, segments in item.given.items():
                yield flag_pb2.Clause(
                    operator=flag_pb2.OPERATOR_IN_SEGMENT,
                    values=_to_values(segments),
                    negate=key == "not_segment",
                )
            continue
        for key, values in item.given.items():
            name, turned = _OTHER_NAMES.get(key, (key, False))
            yield flag_pb2.Clause(
                attribute=item.attribute,
                operator=_OPERATORS[name],
                values=_to_values(values) if isinstance(values, list) else (),
                negate=item.negate != turned,
            )


def from_clause(clause: flag_pb2.Clause) -> dict[str, Any]:
    """Return the item of `when` that a clause stands for."""
    if clause.operator == flag_pb2.OPERATOR_IN_SEGMENT:
        return {"not_segment" if clause.negate else "segment": _from_list(clause.values)}
    name = _OPERATOR_NAMES[clause.operator]
    plain: dict[str, Any] = {"attribute": clause.attribute}
    values = True if name == "exists" else _from_list(clause.values)
    if clause.negate and name in _NEGATED_NAMES:
        return {**plain, _NEGATED_NAMES[name]: values}
    plain[name] = values
    return {**plain, "negate": True} if clause.negate else plain


def to_struct(value: Mapping[str, Any]) -> Struct:
    """Return plain data as a Struct."""
    struct = Struct()
    struct.update(value)
    return struct


def from_struct(struct: Struct) -> dict[str, Any]:
    """Return what a Struct holds as plain data, in the order of its keys."""
    return {key: _from_value(value) for key, value in sorted(struct.fields.items())}


def _to_values(values: list[Any]) -> Iterable[Value]:
    items = ListValue()
    items.extend(values)
    return items.values


def _from_list(values: Iterable[Value]) -> list[Any]:
    return list(map(_from_value, values))


def _from_value(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return from_struct(value.struct_value)
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
