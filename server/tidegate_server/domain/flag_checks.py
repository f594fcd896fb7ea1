"""What a flag may say, by itself and beside the other flags and the segments."""

import json
import re
from collections.abc import Collection, Sequence

from tidegate.model import Flag, Rule, RuleSplit, SegmentKey, Snapshot, VariantKey
from tidegate_server.domain import prerequisites
from tidegate_server.domain.checks import (
    check_count,
    check_key,
    check_length,
    check_share,
    check_split,
    check_unique,
    check_variant,
)
from tidegate_server.domain.clauses import check_clause
from tidegate_server.errors import InvalidField

VALUE_LIMIT = 64 * 1024
"""Most bytes of a variant's value, as JSON."""


RESERVED_SALT = re.compile(r"holdout|(layer|enrolment):.*", re.DOTALL)
"""Salts of the other hashes of a unit."""


def check(flag: Flag, snapshot: Snapshot) -> None:
    """Check everything that a flag says, but for the room in its layer.

    Raises:
        InvalidField: names the first field that breaks a rule.
    """
    check_key("key", flag.key)
    check_length("salt", flag.salt, 1, 100)
    if RESERVED_SALT.fullmatch(flag.salt):
        raise InvalidField(
            "salt",
            f"{flag.salt!r} is what the holdout, layers or enrolment hash with, so that the split "
            "would depend on them: give another salt",
        )
    check_length("description", flag.description, 0, 2_000)
    check_length("unit_attribute", flag.unit_attribute, 0, 100)
    check_share("enrolment_ppm", flag.enrolment_ppm)
    keys = _check_variants(flag)
    check_variant("default_variant", flag.default, keys)
    check_split(flag.split, keys)
    _check_rules(flag.rules, keys, snapshot.segments)
    _check_overrides(flag, keys)
    _check_metrics(flag)
    if flag.layer is not None:
        check_key("layer.layer", flag.layer.layer)
        check_share("layer.share_ppm", flag.layer.ppm, least=1)
    prerequisites.check(flag, snapshot.flags)


def check_immutable(current: Flag, draft: Flag) -> None:
    """Check that a draft keeps the salt and the values of the variants that stay.

    Raises:
        InvalidField: it does not.
    """
    if draft.salt != current.salt:
        raise InvalidField("salt", f"is immutable and stays {current.salt!r}: make a new flag")
    values = {variant.key: variant.value for variant in current.variants}
    for index, variant in enumerate(draft.variants):
        if variant.key in values and variant.value != values[variant.key]:
            raise InvalidField(
                f"variants[{index}].value",
                f"variant {variant.key!r} is immutable, and its value would change: "
                "give the new value a variant key of its own and move the split to it",
            )


def _check_variants(flag: Flag) -> list[VariantKey]:
    check_count("variants", flag.variants, 1, 100)
    keys = [variant.key for variant in flag.variants]
    check_unique("variants", keys)
    for index, variant in enumerate(flag.variants):
        check_key(f"variants[{index}].key", variant.key)
        size = len(json.dumps(dict(variant.value), ensure_ascii=False).encode())
        if size > VALUE_LIMIT:
            raise InvalidField(
                f"variants[{index}].value",
                f"is {size:,} bytes of JSON; at most {VALUE_LIMIT:,} are allowed: "
                "keep large material elsewhere and give its address",
            )
    return keys


def _check_rules(
    rules: Sequence[Rule], variants: Sequence[VariantKey], segments: Collection[SegmentKey]
) -> None:
    check_count("rules", rules, 0, 100)
    check_unique("rules", [rule.name for rule in rules])
    for index, rule in enumerate(rules):
        path = f"rules[{index}]"
        check_length(f"{path}.name", rule.name, 1, 100)
        if isinstance(rule.serve, RuleSplit):
            check_split(rule.serve.shares, variants, f"{path}.split.shares")
        else:
            check_variant(f"{path}.variant", rule.serve, variants)
        check_count(f"{path}.clauses", rule.clauses, 1, 100)
        for number, clause in enumerate(rule.clauses):
            check_clause(f"{path}.clauses[{number}]", clause, segments)


def _check_overrides(flag: Flag, variants: Sequence[VariantKey]) -> None:
    if len(flag.overrides) > 1_000:
        raise InvalidField(
            "overrides", f"there are {len(flag.overrides):,}; at most 1,000: use a segment instead"
        )
    check_unique("overrides", [override.unit_id for override in flag.overrides])
    for index, override in enumerate(flag.overrides):
        check_length(f"overrides[{index}].unit_id", override.unit_id, 1, 1_000)
        check_variant(f"overrides[{index}].variant", override.variant, variants)


def _check_metrics(flag: Flag) -> None:
    check_unique("metrics", [metric.outcome for metric in flag.metrics])
    for index, metric in enumerate(flag.metrics):
        check_key(f"metrics[{index}].outcome", metric.outcome)
