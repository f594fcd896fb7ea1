"""What became of a clause, in words, with the values that were compared."""

from tidegate.attributes import Attributes, plain_value, read_date
from tidegate.model import Clause, Operator
from tidegate.targeting import FindSegment, compile_clauses, unreadable

MOST_VALUES = 10
"""How many of a clause's values are named."""

LONGEST_VALUE = 100
"""How many characters of a value are shown."""

_WORDS = {
    Operator.IN: "in",
    Operator.CONTAINS: "contains",
    Operator.STARTS_WITH: "starts with",
    Operator.ENDS_WITH: "ends with",
    Operator.LESS: "<",
    Operator.LESS_OR_EQUAL: "<=",
    Operator.GREATER: ">",
    Operator.GREATER_OR_EQUAL: ">=",
    Operator.EXISTS: "exists",
    Operator.MATCHES: "matches",
    Operator.VERSION_EQUAL: "is version",
    Operator.VERSION_LESS: "is a version <",
    Operator.VERSION_LESS_OR_EQUAL: "is a version <=",
    Operator.VERSION_GREATER: "is a version >",
    Operator.VERSION_GREATER_OR_EQUAL: "is a version >=",
    Operator.BEFORE: "is before",
    Operator.AFTER: "is at or after",
    Operator.IN_SEGMENT: "in segment",
}


def clause_words(clause: Clause, attributes: Attributes, unit: str, find: FindSegment) -> str:
    """Return what a clause asks, whether it holds, and for what value."""
    holds = compile_clauses((clause,), find)(attributes, unit)
    return f"{asked_words(clause)}: {'yes' if holds else 'no'}{_why(clause, attributes, find)}"


def asked_words(clause: Clause) -> str:
    """Return what a clause asks."""
    parts = [clause.attribute or "unit", _WORDS[clause.operator], _values(clause)]
    asked = " ".join(part for part in parts if part)
    return f"not ({asked})" if clause.negate else asked


def value_words(value: object) -> str:
    """Return a value as a text that is not too long; runs no code of the application."""
    plain = plain_value(value)
    if plain is None:
        moment = read_date(value)
        return "an object of another type" if moment is None else moment.isoformat()
    if isinstance(plain, int) and plain.bit_length() > LONGEST_VALUE:
        return f"an integer of {plain.bit_length():,} bits"
    words = repr(plain[: LONGEST_VALUE + 1]) if isinstance(plain, str) else repr(plain)
    return words if len(words) <= LONGEST_VALUE else f"{words[:LONGEST_VALUE]}…"


def _values(clause: Clause) -> str:
    words = [value_words(value) for value in clause.values[:MOST_VALUES]]
    if len(clause.values) > MOST_VALUES:
        words.append(f"{len(clause.values) - MOST_VALUES:,} more")
    if clause.operator is Operator.EXISTS:
        return ""
    return words[0] if len(words) == 1 else f"({', '.join(words)})"


def _why(clause: Clause, attributes: Attributes, find: FindSegment) -> str:
    if clause.operator is Operator.IN_SEGMENT:
        missing = [key for key in clause.values if isinstance(key, str) and find(key) is None]
        return "".join(f"; there is no segment {value_words(key)}" for key in missing)
    value = attributes.get(clause.attribute)
    found = ", it is missing" if value is None else f", it is {value_words(value)}"
    bad = [value_words(each) for each in unreadable(clause)[:MOST_VALUES]]
    return f"{found}; can't be read: {', '.join(bad)}" if bad else found
