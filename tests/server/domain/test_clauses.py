"""What a clause may say."""

import pytest

from tidegate.model import AttributeValue, Clause, Operator, SegmentKey
from tidegate_server.domain.clauses import check_clause
from tidegate_server.errors import InvalidField

SEGMENTS = {SegmentKey("testers")}


@pytest.mark.parametrize(
    ("operator", "values"),
    [
        (Operator.IN, ("x", 1, True)),
        (Operator.EXISTS, ()),
        (Operator.CONTAINS, ("x",)),
        (Operator.LESS, (1, 1.5)),
        (Operator.MATCHES, ("^a+$", "(b|c){2}")),
        (Operator.VERSION_EQUAL, ("1.2.3", "v2")),
        (Operator.VERSION_LESS_OR_EQUAL, ("2.0.0-rc.1",)),
        (Operator.BEFORE, ("2026-01-31", "2026-01-31T12:00:00+01:00")),
    ],
)
def test_what_is_valid_passes(operator: Operator, values: tuple[AttributeValue, ...]) -> None:
    check_clause("c", Clause("a", operator, values), SEGMENTS)


@pytest.mark.parametrize(
    ("operator", "values", "field", "words"),
    [
        (Operator.IN, (), "c.values", "there are 0; give 1 to 10,000"),
        (Operator.EXISTS, (1,), "c.values", "must be empty"),
        (Operator.LESS, (1, True), "c.values[1]", "True must be a number"),
        (Operator.STARTS_WITH, (1,), "c.values[0]", "1 must be a string"),
        (Operator.MATCHES, (1,), "c.values[0]", "1 must be a string"),
        (Operator.MATCHES, ("(a",), "c.values[0]", "'(a' is no valid pattern ("),
        (Operator.VERSION_GREATER, ("new",), "c.values[0]", "such as '1.4.0'"),
        (Operator.VERSION_GREATER, (1.2,), "c.values[0]", "such as '1.4.0'"),
        (Operator.AFTER, ("31.1.2026",), "c.values[0]", "such as '2026-01-31'"),
        (Operator.BEFORE, ("2026-02-30",), "c.values[0]", "such as '2026-01-31'"),
    ],
)
def test_what_is_wrong_is_named(
    operator: Operator, values: tuple[AttributeValue, ...], field: str, words: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        check_clause("c", Clause("a", operator, values), SEGMENTS)
    assert caught.value.field == field
    assert words in caught.value.problem


def test_a_segment_is_named_without_an_attribute_and_must_exist() -> None:
    check_clause("c", Clause("", Operator.IN_SEGMENT, ("testers",)), SEGMENTS)
    with pytest.raises(InvalidField, match="must be empty for the operator 'in_segment'"):
        check_clause("c", Clause("a", Operator.IN_SEGMENT, ("testers",)), SEGMENTS)
    with pytest.raises(InvalidField, match="segment 'tester' is not known; did you mean 'testers'"):
        check_clause("c", Clause("", Operator.IN_SEGMENT, ("tester",)), SEGMENTS)
    with pytest.raises(InvalidField, match=r"c\.operator: segments do not nest"):
        check_clause("c", Clause("", Operator.IN_SEGMENT, ("testers",)), None)
