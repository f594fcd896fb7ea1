import math
from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.model import AttributeValue, Clause, Operator
from tidegate.targeting import compile_clauses

ABSENT = object()


class Plan(StrEnum):
    PRO = "pro"


class Level(IntEnum):
    HIGH = 3


class Hostile(str):
    """Raises wherever it is touched."""

    __slots__ = ()

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("touched")

    __eq__ = __hash__ = __lt__ = __contains__ = startswith = endswith = _raise
    __class__ = property(_raise)


class HostileNumber(float):
    def _raise(self, *_: object) -> Any:
        raise RuntimeError("touched")

    __eq__ = __hash__ = __lt__ = __le__ = __gt__ = __ge__ = __float__ = _raise


def holds(
    operator: Operator,
    values: Sequence[AttributeValue],
    attribute: object,
    *,
    negate: bool = False,
) -> bool:
    attributes = {} if attribute is ABSENT else {"a": attribute}
    return compile_clauses([Clause("a", operator, tuple(values), negate)])(attributes)


CASES: list[tuple[Operator, tuple[AttributeValue, ...], object, bool]] = [
    (Operator.IN, ("x", "y"), "y", True),
    (Operator.IN, ("x", "y"), "z", False),
    (Operator.IN, (1,), 1.0, True),
    (Operator.IN, (1.0,), 1, True),
    (Operator.IN, (1,), True, False),
    (Operator.IN, (True,), 1, False),
    (Operator.IN, (True,), True, True),
    (Operator.IN, (False,), 0, False),
    (Operator.IN, (False, 0), 0, True),
    (Operator.IN, ("1",), 1, False),
    (Operator.IN, (1,), "1", False),
    (Operator.IN, ("True",), True, False),
    (Operator.IN, ("pro",), Plan.PRO, True),
    (Operator.IN, (3,), Level.HIGH, True),
    (Operator.IN, ("x",), ["x"], False),
    (Operator.IN, (), "x", False),
    (Operator.CONTAINS, ("ell", "zz"), "hello", True),
    (Operator.CONTAINS, ("zz",), "hello", False),
    (Operator.CONTAINS, ("1",), 11, False),
    (Operator.CONTAINS, ("pr",), Plan.PRO, True),
    (Operator.STARTS_WITH, ("a", "he"), "hello", True),
    (Operator.STARTS_WITH, ("lo",), "hello", False),
    (Operator.STARTS_WITH, (), "hello", False),
    (Operator.ENDS_WITH, ("@example.com",), "me@example.com", True),
    (Operator.ENDS_WITH, ("me",), "me@example.com", False),
    (Operator.LESS, (3, 10), 9, True),
    (Operator.LESS, (3,), 3, False),
    (Operator.LESS, (3,), 2.9, True),
    (Operator.LESS, (3,), False, False),
    (Operator.LESS, (True,), 0, False),
    (Operator.LESS, (3,), "2", False),
    (Operator.LESS, (3,), math.nan, False),
    (Operator.LESS, (3,), -(10**400), True),
    (Operator.LESS_OR_EQUAL, (3,), 3, True),
    (Operator.LESS_OR_EQUAL, (3,), 3.1, False),
    (Operator.GREATER, (3, 10), 4, True),
    (Operator.GREATER, (3,), 3, False),
    (Operator.GREATER, (3,), math.inf, True),
    (Operator.GREATER_OR_EQUAL, (3,), Level.HIGH, True),
    (Operator.GREATER_OR_EQUAL, (3,), 2, False),
    (Operator.GREATER_OR_EQUAL, (), 2, False),
]


@pytest.mark.parametrize(("operator", "values", "attribute", "expected"), CASES)
def test_operators(
    operator: Operator, values: tuple[AttributeValue, ...], attribute: object, expected: bool
) -> None:
    assert holds(operator, values, attribute) is expected
    assert holds(operator, values, attribute, negate=True) is not expected


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("negate", [False, True])
@pytest.mark.parametrize("attribute", [ABSENT, None], ids=["absent", "None"])
def test_a_missing_attribute_never_matches(
    operator: Operator, negate: bool, attribute: object
) -> None:
    assert holds(operator, ("x", 1, True), attribute, negate=negate) is False


@pytest.mark.parametrize("attribute", ["", 0, False, [], object()])
def test_exists_asks_for_presence_alone(attribute: object) -> None:
    assert holds(Operator.EXISTS, (), attribute) is True
    assert holds(Operator.EXISTS, (), attribute, negate=True) is False


def test_all_clauses_must_hold() -> None:
    both = compile_clauses(
        [Clause("team", Operator.IN, ("eval",)), Clause("age", Operator.GREATER, (3,))]
    )
    assert both({"team": "eval", "age": 4})
    assert not both({"team": "eval", "age": 3})
    assert not both({"team": "ops", "age": 4})
    assert not both({"age": 4})


def test_what_a_subclass_overrides_is_never_called() -> None:
    assert holds(Operator.IN, ("x",), Hostile("x"))
    assert holds(Operator.STARTS_WITH, ("x",), Hostile("xy"))
    assert holds(Operator.CONTAINS, ("y",), Hostile("xy"))
    assert holds(Operator.IN, (1.5,), HostileNumber(1.5))
    assert holds(Operator.LESS, (2,), HostileNumber(1.5))


scalars = st.one_of(
    st.text(), st.integers(), st.floats(), st.booleans(), st.sampled_from([Plan.PRO, Level.HIGH])
)
anything = st.one_of(
    scalars,
    st.none(),
    st.binary(),
    st.complex_numbers(),
    st.lists(scalars),
    st.dictionaries(st.text(), scalars),
    st.sampled_from([object(), Decimal(1), int, len, 10**400]),
)
attribute_values = st.one_of(
    st.text(max_size=5), st.integers(), st.floats(allow_nan=False), st.booleans()
)


@given(st.sampled_from(Operator), st.lists(attribute_values, max_size=4), anything, st.booleans())
def test_no_value_raises(
    operator: Operator, values: list[AttributeValue], attribute: object, negate: bool
) -> None:
    assert type(holds(operator, values, attribute, negate=negate)) is bool


@given(st.sampled_from(Operator), st.lists(attribute_values, max_size=4), attribute_values)
def test_negation_turns_the_result_round(
    operator: Operator, values: list[AttributeValue], attribute: AttributeValue
) -> None:
    if operator is not Operator.EXISTS:
        plain = holds(operator, values, attribute)
        assert holds(operator, values, attribute, negate=True) is not plain


@given(st.sampled_from(Operator), st.lists(attribute_values, max_size=4), attribute_values)
def test_a_clause_holds_if_it_holds_for_any_value(
    operator: Operator, values: list[AttributeValue], attribute: AttributeValue
) -> None:
    if operator is not Operator.EXISTS:
        one_by_one = any(holds(operator, (value,), attribute) for value in values)
        assert holds(operator, values, attribute) is one_by_one
