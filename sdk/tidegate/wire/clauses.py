"""Clauses, of rules and of segments."""

from collections.abc import Iterable

from google.protobuf import struct_pb2

from tidegate.errors import WireError
from tidegate.model import AttributeValue, Clause, Operator
from tidegate.structs import json_from_value, value_from_json
from tidegate.v1 import flag_pb2

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
    flag_pb2.OPERATOR_MATCHES: Operator.MATCHES,
    flag_pb2.OPERATOR_VERSION_EQUAL: Operator.VERSION_EQUAL,
    flag_pb2.OPERATOR_VERSION_LESS: Operator.VERSION_LESS,
    flag_pb2.OPERATOR_VERSION_LESS_OR_EQUAL: Operator.VERSION_LESS_OR_EQUAL,
    flag_pb2.OPERATOR_VERSION_GREATER: Operator.VERSION_GREATER,
    flag_pb2.OPERATOR_VERSION_GREATER_OR_EQUAL: Operator.VERSION_GREATER_OR_EQUAL,
    flag_pb2.OPERATOR_BEFORE: Operator.BEFORE,
    flag_pb2.OPERATOR_AFTER: Operator.AFTER,
    flag_pb2.OPERATOR_IN_SEGMENT: Operator.IN_SEGMENT,
}
_OPERATOR_NUMBERS = {operator: number for number, operator in _OPERATORS.items()}


def clauses_to_messages(clauses: Iterable[Clause], path: str) -> list[flag_pb2.Clause]:
    """Return clauses as messages; `path` leads to them in errors.

    Raises:
        WireError: a value has no form in JSON.
    """
    return [
        flag_pb2.Clause(
            attribute=clause.attribute,
            operator=_OPERATOR_NUMBERS[clause.operator],
            values=[
                value_from_json(value, f"{path}.clauses[{j}].values[{k}]")
                for k, value in enumerate(clause.values)
            ],
            negate=clause.negate,
        )
        for j, clause in enumerate(clauses)
    ]


def clauses_from_messages(
    messages: Iterable[flag_pb2.Clause], path: str, *, newer_server: bool
) -> tuple[Clause, ...]:
    """Return the clauses that messages describe; `path` leads to them in errors.

    newer_server: whether an operator that is not known never matches, rather than being an error.

    Raises:
        WireError: an operator is not known, or a value is no string, number or boolean.
    """
    return tuple(
        _clause(message, f"{path}.clauses[{j}]", newer_server=newer_server)
        for j, message in enumerate(messages)
    )


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
