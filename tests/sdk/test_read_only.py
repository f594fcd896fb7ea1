import copy
import json
import pickle
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from tidegate.read_only import ReadOnlyDict, ReadOnlyList, freeze

VALUE = {"model": "llama", "stop": ["a", {"b": 1}], "price": {"in": 0.05}, "none": None}


def test_it_reads_like_the_original() -> None:
    frozen = freeze(MappingProxyType(VALUE))
    assert frozen == VALUE
    assert json.loads(json.dumps(frozen)) == VALUE
    assert dict(**frozen) == VALUE
    assert isinstance(frozen["stop"][1], ReadOnlyDict)
    assert isinstance(frozen["stop"], ReadOnlyList)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(model="x"),
        lambda value: value.pop("model"),
        lambda value: value.clear(),
        lambda value: value.setdefault("x", 1),
        lambda value: value.__setitem__("model", "x"),
        lambda value: value.__delitem__("model"),
        lambda value: value.__ior__({"model": "x"}),
        lambda value: value["price"].update(x=1),
        lambda value: value["stop"].append("x"),
        lambda value: value["stop"].sort(),
        lambda value: value["stop"].__iadd__(["x"]),
        lambda value: value["stop"].__setitem__(0, "x"),
        lambda value: value["stop"][1].popitem(),
    ],
)
def test_it_refuses_to_be_changed(change: Callable[[Any], None]) -> None:
    frozen = freeze(VALUE)
    with pytest.raises(TypeError, match="deepcopy"):
        change(frozen)
    assert frozen == VALUE


def test_the_original_may_change_later() -> None:
    original = {"list": [1]}
    frozen = freeze(original)
    original["list"].append(2)
    assert frozen == {"list": [1]}


def test_copies_may_be_changed() -> None:
    frozen = freeze(VALUE)
    for thawed in (copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert thawed == VALUE
        thawed["model"] = "x"
        thawed["stop"].append("x")
        thawed["stop"][1]["b"] = 2
    shallow = copy.copy(frozen)
    shallow["model"] = "x"
    assert frozen == VALUE
