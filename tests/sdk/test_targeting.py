import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sdk.flags import make_segment
from tidegate.model import AttributeValue, Clause, Operator
from tidegate.targeting import compile_clauses, compile_segment, unreadable

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


class HostileZone(tzinfo):
    def utcoffset(self, _: datetime | None) -> Any:
        raise RuntimeError("touched")

    dst = tzname = utcoffset


class HostileDate(datetime):
    def _raise(self, *_: object, **__: object) -> Any:
        raise RuntimeError("touched")

    __eq__ = __hash__ = __lt__ = __ge__ = replace = astimezone = _raise


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def holds(
    operator: Operator,
    values: Sequence[AttributeValue],
    attribute: object,
    *,
    negate: bool = False,
) -> bool:
    attributes = {} if attribute is ABSENT else {"a": attribute}
    return compile_clauses([Clause("a", operator, tuple(values), negate)])(attributes, "user-1")


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
    (Operator.MATCHES, ("^gpt-[45]", "llama"), "gpt-4o", True),
    (Operator.MATCHES, ("^gpt-[45]", "llama"), "my-llama", True),
    (Operator.MATCHES, ("^gpt-[45]",), "gpt-3", False),
    (Operator.MATCHES, ("(?i)^PRO$",), Plan.PRO, True),
    (Operator.MATCHES, ("1",), 1, False),
    (Operator.MATCHES, ("(a+)+$",), "a" * 5_000 + "b", True),  # the first 1,000 characters count
    (Operator.MATCHES, ("(a+)+$",), "a" * 999 + "b", False),
    (Operator.VERSION_EQUAL, ("1.2", "3.0.0"), "v1.2.0+build", True),
    (Operator.VERSION_EQUAL, ("1.2.0",), "1.2.0-rc.1", False),
    (Operator.VERSION_LESS, ("1.2.0", "1.10.0"), "1.9.9", True),
    (Operator.VERSION_LESS, ("1.2.0",), "1.2.0-rc.1", True),
    (Operator.VERSION_LESS, ("1.2.0",), "1.2.0", False),
    (Operator.VERSION_LESS, ("1.2.0",), 1, False),
    (Operator.VERSION_LESS, ("1.2.0",), "one", False),
    (Operator.VERSION_LESS_OR_EQUAL, ("1.2.0",), "1.2", True),
    (Operator.VERSION_GREATER, ("1.2.0", "9"), "1.2.1", True),
    (Operator.VERSION_GREATER, ("1.2.0",), "1.2.0", False),
    (Operator.VERSION_GREATER_OR_EQUAL, ("1.2.0",), "1.2.0", True),
    (Operator.VERSION_GREATER_OR_EQUAL, ("1.2.0",), "1.2.0-rc.1", False),
    (Operator.BEFORE, ("2026-03-01",), "2026-02-28T23:59:59Z", True),
    (Operator.BEFORE, ("2026-03-01",), "2026-03-01", False),
    (Operator.BEFORE, ("2025-01-01", "2026-03-01"), "2026-02-01", True),
    (Operator.BEFORE, ("2026-03-01T12:00:01Z",), NOON, True),
    (Operator.BEFORE, ("2026-03-01T12:00:00Z",), NOON, False),
    (Operator.BEFORE, ("2026-03-01",), "soon", False),
    (Operator.BEFORE, ("2026-03-01",), 20_260_228, False),
    (Operator.BEFORE, ("2026-03-01",), NOON.replace(tzinfo=HostileZone()), False),
    (Operator.BEFORE, ("2026-03-01",), HostileDate(2026, 1, 1), False),
    (Operator.BEFORE, ("2026-03-01",), date(2026, 1, 1), False),
    (Operator.AFTER, ("2026-03-01T12:00:00Z",), NOON, True),
    (Operator.AFTER, ("2026-03-01T12:00:00Z",), NOON - timedelta(seconds=1), False),
    (Operator.AFTER, ("2026-03-01T11:00:00Z",), NOON.replace(tzinfo=None), True),
    (
        Operator.AFTER,
        ("2026-03-01",),
        datetime.max.replace(tzinfo=timezone(-timedelta(1, -1))),
        False,
    ),
]


@pytest.mark.parametrize(("operator", "values", "attribute", "expected"), CASES)
def test_operators(
    operator: Operator, values: tuple[AttributeValue, ...], attribute: object, expected: bool
) -> None:
    assert holds(operator, values, attribute) is expected
    assert holds(operator, values, attribute, negate=True) is not expected


@pytest.mark.parametrize(
    ("operator", "good", "bad", "attribute"),
    [
        (Operator.MATCHES, "b", "(", "a"),
        (Operator.MATCHES, "b", 5, "a"),
        (Operator.VERSION_LESS, "1.0", "one", "2.0"),
        (Operator.VERSION_EQUAL, "1.0", "one", "2.0"),
        (Operator.AFTER, "2026-03-01", "soon", "2025-01-01"),
    ],
)
def test_a_value_that_cannot_be_read_never_matches(
    operator: Operator, good: AttributeValue, bad: AttributeValue, attribute: str
) -> None:
    assert holds(operator, (good,), attribute, negate=True)
    for values in ((bad,), (good, bad)):
        assert not holds(operator, values, attribute)
        assert not holds(operator, values, attribute, negate=True)
        assert unreadable(Clause("a", operator, values)) == (bad,)
    assert unreadable(Clause("a", operator, (good,))) == ()
    assert unreadable(Clause("a", Operator.IN, (bad,))) == ()


@pytest.mark.parametrize("operator", [each for each in Operator if each is not Operator.IN_SEGMENT])
@pytest.mark.parametrize("negate", [False, True])
@pytest.mark.parametrize("attribute", [ABSENT, None], ids=["absent", "None"])
def test_a_missing_attribute_never_matches(
    operator: Operator, negate: bool, attribute: object
) -> None:
    assert holds(operator, ("x", 1, True), attribute, negate=negate) is False


@pytest.mark.parametrize(
    "attribute", ["", 0, False, [], object()], ids=["text", "0", "False", "list", "object"]
)
def test_exists_asks_for_presence_alone(attribute: object) -> None:
    assert holds(Operator.EXISTS, (), attribute) is True
    assert holds(Operator.EXISTS, (), attribute, negate=True) is False


BETA = make_segment(
    "beta",
    included=frozenset({"user-1", "user-2"}),
    excluded=frozenset({"user-2", "user-3"}),
    rules=(
        (Clause("team", Operator.IN, ("eval",)), Clause("age", Operator.GREATER, (3,))),
        (Clause("team", Operator.IN, ("ops",)),),
    ),
)


@pytest.mark.parametrize(
    ("unit", "attributes", "expected"),
    [
        ("user-1", {}, True),
        ("user-2", {}, False),
        ("user-3", {"team": "ops"}, False),
        ("user-4", {"team": "ops"}, True),
        ("user-4", {"team": "eval"}, False),
        ("user-4", {"team": "eval", "age": 4}, True),
        ("user-4", {}, False),
    ],
)
def test_segments(unit: str, attributes: dict[str, Any], expected: bool) -> None:
    assert compile_segment(BETA)(attributes, unit) is expected
    for values in (("beta",), ("alpha", "beta"), ("beta", 5)):
        for negate in (False, True):
            clause = Clause("", Operator.IN_SEGMENT, values, negate)
            matches = compile_clauses([clause], find_beta)
            assert matches(attributes, unit) is (expected is not negate)


def find_beta(key: str) -> Any:
    return compile_segment(BETA) if key == "beta" else None


def test_a_segment_that_does_not_exist_holds_nobody() -> None:
    for values in ((), ("alpha",), (True,)):
        clause = Clause("", Operator.IN_SEGMENT, values)
        assert not compile_clauses([clause], find_beta)({}, "user-1")
        assert compile_clauses([replace(clause, negate=True)], find_beta)({}, "user-1")


def test_segments_do_not_nest() -> None:
    inner = (Clause("", Operator.IN_SEGMENT, ("beta",)),)
    assert not compile_segment(make_segment("outer", rules=(inner,)))({}, "user-1")


def test_without_a_clause_nothing_holds() -> None:
    assert not compile_clauses([])({}, "user-1")
    assert not compile_segment(make_segment("empty", rules=((),)))({}, "user-1")


def test_all_clauses_must_hold() -> None:
    both = compile_clauses(
        [Clause("team", Operator.IN, ("eval",)), Clause("age", Operator.GREATER, (3,))]
    )
    assert both({"team": "eval", "age": 4}, "user-1")
    assert not both({"team": "eval", "age": 3}, "user-1")
    assert not both({"team": "ops", "age": 4}, "user-1")
    assert not both({"age": 4}, "user-1")


def test_what_a_subclass_overrides_is_never_called() -> None:
    assert holds(Operator.IN, ("x",), Hostile("x"))
    assert holds(Operator.STARTS_WITH, ("x",), Hostile("xy"))
    assert holds(Operator.CONTAINS, ("y",), Hostile("xy"))
    assert holds(Operator.IN, (1.5,), HostileNumber(1.5))
    assert holds(Operator.LESS, (2,), HostileNumber(1.5))
    assert holds(Operator.MATCHES, ("^xy$",), Hostile("xy"))
    assert holds(Operator.VERSION_LESS, ("2",), Hostile("1.5"))
    assert holds(Operator.BEFORE, ("2026-03-01",), Hostile("2026-02-01"))
    assert not holds(Operator.VERSION_LESS, ("2",), HostileNumber(1.5))


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
    st.datetimes(),
    st.dates(),
    st.sampled_from([object(), Decimal(1), int, len, 10**400]),
)
attribute_values = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["1.2.3", "1.2", "2026-01-01", "2026-01-01T10:00:00+02:00", "^a|b$"]),
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
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
    if operator is not Operator.EXISTS and not unreadable(Clause("a", operator, tuple(values))):
        plain = holds(operator, values, attribute)
        assert holds(operator, values, attribute, negate=True) is not plain


@given(st.sampled_from(Operator), st.lists(attribute_values, max_size=4), attribute_values)
def test_a_clause_holds_if_it_holds_for_any_value(
    operator: Operator, values: list[AttributeValue], attribute: AttributeValue
) -> None:
    if operator is not Operator.EXISTS:
        one_by_one = any(holds(operator, (value,), attribute) for value in values)
        assert holds(operator, values, attribute) is one_by_one
