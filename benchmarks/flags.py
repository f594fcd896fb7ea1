"""The flags that are measured."""

from collections.abc import Sequence

from tidegate.model import (
    BUCKETS,
    PPM,
    Allocation,
    Clause,
    Flag,
    FlagKey,
    Operator,
    Phase,
    Revision,
    Rule,
    Snapshot,
    SplitShare,
    Variant,
    VariantKey,
)

V1, V2 = VariantKey("v1"), VariantKey("v2")

RULES = (
    Rule("plan", (Clause("plan", Operator.IN, ("pro", "team")),), V2),
    Rule("country", (Clause("country", Operator.IN, ("US", "CA")),), V2),
    Rule("age", (Clause("age", Operator.GREATER, (60,)),), V2),
)
ATTRIBUTES = {"plan": "free", "country": "NL", "age": 40}
"""For which none of the rules holds."""


def make_flag(key: str, rules: Sequence[Rule] = ()) -> Flag:
    """Return a flag with a model version for each of two variants, half of the units each."""
    value = {
        "provider": "vllm",
        "model": "llama-3.1-8b",
        "endpoint": "http://10.0.0.7:8000",
        "prompt_version": 12,
        "price_per_mtok": {"in": 0.05, "out": 0.08},
    }
    return Flag(
        key=FlagKey(key),
        variants=(Variant(V1, value), Variant(V2, value)),
        default=V1,
        split=(SplitShare(V1, PPM // 2), SplitShare(V2, PPM // 2)),
        salt=key,
        allocation=Allocation((0, BUCKETS // 2), (V1, V2)),
        phase=Phase(1),
        revision=Revision(1),
        rules=tuple(rules),
    )


PLAIN, RULED = make_flag("plain"), make_flag("ruled", RULES)


def make_snapshot(count: int) -> Snapshot:
    """Return PLAIN and RULED, and `count` more: every second of them has three rules."""
    more = [make_flag(f"flag-{number}", RULES if number % 2 else ()) for number in range(count)]
    return Snapshot(Revision(1), {flag.key: flag for flag in (PLAIN, RULED, *more)})
