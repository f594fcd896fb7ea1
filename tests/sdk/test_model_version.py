import hashlib
import math
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from tidegate import ConfigurationError
from tidegate.model_version import ModelVersion, version_id
from tidegate.read_only import freeze
from tidegate.structs import json_from_struct, struct_from_json

VALUE = {
    "provider": "vllm",
    "model": "llama-3.1-8b",
    "endpoint": "http://10.0.0.7:8000",
    "weights_digest": "sha256:ab",
    "prompt_version": 7,
    "parameters": {"temperature": 0.2, "stop": ["\n"]},
    "price_per_mtok": {"in": 0.05, "out": 0.5},
    "team": "chat",
}


def test_a_value_is_read() -> None:
    assert ModelVersion.from_value(freeze(VALUE)) == ModelVersion(
        model="llama-3.1-8b",
        provider="vllm",
        endpoint="http://10.0.0.7:8000",
        weights_digest="sha256:ab",
        prompt_version="7",
        parameters={"temperature": 0.2, "stop": ["\n"]},
        price_per_mtok_in=0.05,
        price_per_mtok_out=0.5,
    )


def test_only_the_model_is_needed() -> None:
    version = ModelVersion.from_value({"model": "m"})
    assert version == ModelVersion("m")
    assert (version.provider, version.parameters, version.price_per_mtok_in) == ("", {}, None)


def test_parameters_cannot_be_changed() -> None:
    value = {"model": "m", "parameters": {"temperature": 0.2}}
    version = ModelVersion.from_value(value)
    with pytest.raises(TypeError, match="cannot be changed"):
        version.parameters["temperature"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, "value: "),
        ("llama", "value: "),
        ({}, "value.model"),
        ({"model": ""}, "value.model"),
        ({"model": 3}, "value.model"),
        ({"model": "m", "endpoint": ["a"]}, "value.endpoint"),
        ({"model": "m", "provider": 1}, "value.provider"),
        ({"model": "m", "prompt_version": True}, "value.prompt_version"),
        ({"model": "m", "prompt_version": 1.5}, "value.prompt_version"),
        ({"model": "m", "parameters": [1]}, "value.parameters"),
        ({"model": "m", "price_per_mtok": 0.1}, "value.price_per_mtok"),
        ({"model": "m", "price_per_mtok": {"in": "0.1"}}, "value.price_per_mtok.in"),
        ({"model": "m", "price_per_mtok": {"out": -1}}, "value.price_per_mtok.out"),
        ({"model": "m", "price_per_mtok": {"out": math.nan}}, "value.price_per_mtok.out"),
        ({"model": "m", "price_per_mtok": {"out": True}}, "value.price_per_mtok.out"),
    ],
    ids=repr,
)
def test_what_is_wrong_is_named(value: Any, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ModelVersion.from_value(value)
    assert str(caught.value).startswith(field)


def test_cost() -> None:
    version = ModelVersion("m", price_per_mtok_in=0.5, price_per_mtok_out=2.0)
    assert version.cost(1_000_000, 0) == 0.5
    assert version.cost(0, 1_000_000) == 2.0
    assert version.cost(1_000, 500) == pytest.approx(0.0015)
    assert version.cost(0, 0) == 0.0
    assert ModelVersion("m", price_per_mtok_in=0.5).cost(1, 1) is None
    assert ModelVersion("m", price_per_mtok_out=0.5).cost(1, 1) is None


def test_the_id_is_a_hash_of_canonical_json() -> None:
    text = '{"a":[1,2.5,null,true],"b":{"c":"ü\\n\\"","d":-3}}'
    value = {"b": {"d": -3.0, "c": 'ü\n"'}, "a": (1.0, 2.5, None, True)}
    assert version_id(value) == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert version_id({}) == "44136fa355b3678a"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@for_all(st.dictionaries(st.text(), json_values))
def test_the_id_outlives_the_wire_and_the_order_of_keys(value: dict[str, Any]) -> None:
    arrived = freeze(json_from_struct(struct_from_json(value)))
    assert version_id(arrived) == version_id(value)
    assert version_id(dict(reversed(value.items()))) == version_id(value)


def test_other_values_have_other_ids() -> None:
    values: list[Any] = [{}, {"a": 1}, {"a": "1"}, {"a": True}, {"a": [1]}, {"a": None}, {"a": 1.5}]
    assert len({version_id(value) for value in values}) == len(values)
