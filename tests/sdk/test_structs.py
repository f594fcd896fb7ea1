import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import WireError
from tidegate.structs import EXACT, json_from_struct, struct_from_json

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-EXACT, EXACT) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(texts, values, max_size=4)


def types(value: Any) -> Any:
    """Return the shape of a JSON value, whole numbers being ints."""
    match value:
        case dict():
            return {key: types(item) for key, item in value.items()}
        case list():
            return [types(item) for item in value]
        case float() if value.is_integer() and abs(value) <= EXACT:
            return int
    return type(value)


@given(objects)
def test_objects_come_back_equal(value: dict[str, Any]) -> None:
    back = json_from_struct(struct_from_json(value))
    assert back == value
    assert types(back) == types(value)
    again = json_from_struct(struct_from_json(back))
    assert again == back


@pytest.mark.parametrize(
    ("number", "kind"),
    [(1, int), (1.0, int), (0.5, float), (float(EXACT), int), (1e300, float), (math.inf, float)],
)
def test_whole_numbers_come_back_as_ints(number: float, kind: type) -> None:
    back = json_from_struct(struct_from_json({"n": number}))["n"]
    assert back == number
    assert type(back) is kind


def test_it_agrees_with_the_canonical_json() -> None:
    value = {"a": [1, "x", None, True, {"b": 0.5}]}
    assert json_format.MessageToDict(struct_from_json(value)) == value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {"b": [0, {1, 2}]}}, r"value\.a\.b\[1\]: a set"),
        ({"a": EXACT + 1}, r"value\.a: .*2\^53"),
        ({"a": {3: 1}}, r"value\.a: the key 3"),
        ({"a": b"x"}, r"value\.a: a bytes"),
    ],
)
def test_what_is_no_json_is_named(value: dict[str, Any], path: str) -> None:
    with pytest.raises(WireError, match=path):
        struct_from_json(value)
