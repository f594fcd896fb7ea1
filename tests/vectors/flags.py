"""The flags and units of the evaluation vectors."""

from collections.abc import Iterator
from typing import Any

from tests.sdk.flags import V1, V2, V3, boundary, make_flag
from tidegate.bucketing import LONGEST_UNIT_ID
from tidegate.model import (
    Allocation,
    Clause,
    Flag,
    Operator,
    Override,
    Rule,
    RuleSplit,
    SplitShare,
)

PRESENT = Clause("tier", Operator.EXISTS)


def flag_of_rules(key: str, *clauses: tuple[Clause, ...]) -> Flag:
    """Return a flag that gives v2 to units that match any of the rules, and v1 to the others."""
    rules = tuple(Rule(f"rule-{number}", each, V2) for number, each in enumerate(clauses, 1))
    return make_flag(key, shares=(100, 0), rules=rules)


SPLIT_IN_RULE = RuleSplit(
    (SplitShare(V1, 250_000), SplitShare(V3, 750_000)),
    Allocation((0, boundary(250_000)), (V1, V3)),
)

FLAGS = (
    make_flag("split"),
    make_flag("other-salt", salt="Größe"),
    make_flag(
        "ranges",
        allocation=Allocation(
            tuple(boundary(ppm) for ppm in (0, 100_000, 333_333, 333_334, 900_000)),
            (V2, V1, V3, V1, V2),
        ),
    ),
    make_flag("all-to-one", shares=(0, 100)),
    make_flag(
        "killed",
        killed=True,
        rules=(Rule("everybody", (PRESENT,), V3),),
        overrides=(Override("user-1", V2),),
    ),
    make_flag(
        "order",
        rules=(
            Rule("first", (Clause("plan", Operator.IN, ("pro",)),), V2),
            Rule("second", (Clause("plan", Operator.IN, ("pro", "free")),), V3),
            Rule("split", (Clause("plan", Operator.IN, ("team",)),), SPLIT_IN_RULE),
        ),
        overrides=(Override("user-1", V3), Override("Zoë", V1)),
    ),
    flag_of_rules("in", (Clause("x", Operator.IN, ("a", 1, True, 2.5)),)),
    flag_of_rules("not-in", (Clause("x", Operator.IN, ("a", 1, True, 2.5), negate=True),)),
    flag_of_rules("contains", (Clause("x", Operator.CONTAINS, ("ab", "ß")),)),
    flag_of_rules("starts-with", (Clause("x", Operator.STARTS_WITH, ("ab", "Z")),)),
    flag_of_rules("ends-with", (Clause("x", Operator.ENDS_WITH, ("ab", "ë")),)),
    flag_of_rules("less", (Clause("x", Operator.LESS, (10, 2)),)),
    flag_of_rules("less-or-equal", (Clause("x", Operator.LESS_OR_EQUAL, (10, 2)),)),
    flag_of_rules("greater", (Clause("x", Operator.GREATER, (10, 20)),)),
    flag_of_rules("greater-or-equal", (Clause("x", Operator.GREATER_OR_EQUAL, (10, 20)),)),
    flag_of_rules("not-less", (Clause("x", Operator.LESS, (10,), negate=True),)),
    flag_of_rules("exists", (Clause("x", Operator.EXISTS),)),
    flag_of_rules("exists-not", (Clause("x", Operator.EXISTS, negate=True),)),
    flag_of_rules(
        "all-clauses",
        (Clause("x", Operator.GREATER, (1,)), Clause("y", Operator.IN, ("NL", "BE"))),
        (PRESENT, Clause("y", Operator.IN, ("NL",), negate=True)),
    ),
)

SAMPLES: tuple[Any, ...] = (
    None, "a", "A", "", "ab", "cab", "abc", "straße", "Zoë", "1", "True", 0, 1, 1.0, 2, 2.5, 9.99,
    10, 10.0, 10.01, 20, 21, -1, True, False,
)  # fmt: skip


def cases() -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """Return flags, units and attributes to evaluate."""
    units = [f"user-{number}" for number in range(1, 41)]
    odd = ["Zoë", "日本語", "🙂", "x" * LONGEST_UNIT_ID, "x" * (LONGEST_UNIT_ID + 1), ""]
    for key in ("split", "other-salt", "ranges", "all-to-one"):
        yield from ((key, unit, None) for unit in [*units, *odd])
    for unit in ["user-1", "user-2", "Zoë", ""]:
        yield "killed", unit, {"tier": 1}
    for plan in ("pro", "free", "team", "none"):
        yield from (("order", unit, {"plan": plan}) for unit in [*units[:12], "Zoë", ""])
    for flag in FLAGS[6:-1]:
        yield from ((flag.key, "user-5", {"x": sample}) for sample in SAMPLES)
        yield flag.key, "user-5", {}
        yield flag.key, "user-5", None
    for x in (1, 2, None):
        for y in ("NL", "DE", None):
            yield "all-clauses", "user-5", {"x": x, "y": y}
            yield "all-clauses", "user-5", {"x": x, "y": y, "tier": "gold"}
    yield "no-such-flag", "user-1", None
