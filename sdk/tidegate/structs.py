"""JSON values ↔ google.protobuf.Struct.

JSON numbers travel as doubles: one that is whole and at most 2^53 in size comes back as an int,
any other as a float.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

from tidegate.errors import WireError

EXACT = 1 << 53
"""Integers up to this size are exact as doubles."""


def struct_from_json(value: Mapping[str, Any], path: str = "value") -> struct_pb2.Struct:
    """Return a JSON object as a Struct.

    Raises:
        WireError: a value has no form in JSON, or is an integer beyond 2^53; `path` leads to it.
    """
    struct = struct_pb2.Struct()
    for key, item in value.items():
        if not isinstance(key, str):
            raise WireError(f"{path}: the key {key!r} must be a string")
        struct.fields[key].CopyFrom(value_from_json(item, f"{path}.{key}"))
    return struct


def value_from_json(value: object, path: str) -> struct_pb2.Value:
    """Return a JSON value as a Value.

    Raises:
        WireError: as `struct_from_json`.
    """
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() if abs(value) > EXACT:
            raise WireError(f"{path}: {value} is beyond 2^53 and would be rounded; use a string")
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case Mapping():
            return struct_pb2.Value(struct_value=struct_from_json(value, path))
        case list() | tuple():
            items = [value_from_json(item, f"{path}[{i}]") for i, item in enumerate(value)]
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=items))
    raise WireError(f"{path}: a {type(value).__name__} has no form in JSON; use a string")


def json_from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return a Struct as a JSON object."""
    fields = struct.fields  # whose items() would be an iterator in Python, at twice the time
    return {key: json_from_value(fields[key]) for key in fields}


def json_from_value(value: struct_pb2.Value) -> Any:
    """Return a Value as a JSON value; None where it holds none."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= EXACT else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return json_from_struct(value.struct_value)
        case "list_value":
            return [json_from_value(item) for item in value.list_value.values]
    return None
