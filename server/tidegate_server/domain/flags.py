"""The rules of a flag: what is valid, what may change, and what a change does to its phase."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from tidegate.model import (
    PPM,
    Clause,
    Flag,
    FlagKey,
    Operator,
    Phase,
    Revision,
    Rule,
    SplitShare,
    VariantKey,
)
from tidegate_server.domain.allocation import Move, allocate, moves, reallocate
from tidegate_server.errors import InvalidField, RevisionConflict

KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
KEY_RULE = "1 to 100 characters of a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit"
VALUE_LIMIT = 64 * 1024
"""Most bytes of a variant's value, as JSON."""

NUMERIC = {
    Operator.LESS,
    Operator.LESS_OR_EQUAL,
    Operator.GREATER,
    Operator.GREATER_OR_EQUAL,
}
TEXTUAL = {Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH}


def created(draft: Flag, revision: Revision, now: datetime) -> Flag:
    """Return `draft` as the flag that `revision` brings: checked, with its first allocation.

    Raises:
        InvalidField: the draft breaks a rule.
    """
    draft = replace(draft, salt=draft.salt or draft.key)
    check(draft)
    return replace(
        draft,
        allocation=allocate(draft.split),
        phase=Phase(revision),
        revision=revision,
        create_time=now,
        update_time=now,
    )


def updated(current: Flag, draft: Flag, revision: Revision, now: datetime) -> Flag:
    """Return `draft` as the successor of `current`.

    Raises:
        InvalidField: the draft breaks a rule, or changes what is immutable.
        RevisionConflict: the draft was made from another revision than the current.
    """
    expect_revision(current, draft.revision)
    draft = replace(draft, salt=draft.salt or current.salt)
    check(draft)
    _check_immutable(current, draft)
    successor = replace(
        draft,
        allocation=current.allocation,
        phase=current.phase,
        create_time=current.create_time,
    )
    return with_split(successor, draft.split, revision, now)


def with_split(
    current: Flag, split: Sequence[SplitShare], revision: Revision, now: datetime
) -> Flag:
    """Return `current` with another split; its phase changes only if its allocation does.

    Raises:
        InvalidField: the split breaks a rule.
    """
    check_split(split, [variant.key for variant in current.variants])
    allocation = reallocate(current.allocation, split)
    return replace(
        current,
        split=tuple(split),
        allocation=allocation,
        phase=current.phase if allocation == current.allocation else Phase(revision),
        revision=revision,
        update_time=now,
    )


def split_moves(current: Flag, split: Sequence[SplitShare]) -> tuple[Move, ...]:
    """Return which shares another split would move, largest first.

    Raises:
        InvalidField: the split breaks a rule.
    """
    check_split(split, [variant.key for variant in current.variants])
    return moves(current.allocation, reallocate(current.allocation, split))


def expect_revision(current: Flag, revision: int) -> None:
    """Check that a change was made from the current revision; 0 stands for any.

    Raises:
        RevisionConflict: it was not.
    """
    if revision not in (0, current.revision):
        raise RevisionConflict(
            f"flag {current.key!r} is at revision {current.revision}, not {revision}: "
            "somebody changed it; read it again and repeat the change"
        )


def check(flag: Flag) -> None:
    """Check everything that a flag says by itself.

    Raises:
        InvalidField: names the first field that breaks a rule.
    """
    _check_key("key", flag.key)
    _check_length("salt", flag.salt, 1, 100)
    _check_length("description", flag.description, 0, 2_000)
    keys = _check_variants(flag)
    _check_variant("default_variant", flag.default, keys)
    check_split(flag.split, keys)
    _check_rules(flag.rules, keys)
    _check_overrides(flag, keys)
    _check_unique("metrics", [metric.outcome for metric in flag.metrics])
    for index, metric in enumerate(flag.metrics):
        _check_key(f"metrics[{index}].outcome", metric.outcome)


def check_split(split: Sequence[SplitShare], variants: Sequence[VariantKey]) -> None:
    """Check that shares are in range, of known variants, and add up to the whole.

    Raises:
        InvalidField: names the first share that breaks a rule, or `split` and its sum.
    """
    _check_unique("split", [share.variant for share in split])
    for index, share in enumerate(split):
        _check_variant(f"split[{index}].variant", share.variant, variants)
        if not 0 <= share.ppm <= PPM:
            raise InvalidField(
                f"split[{index}].share_ppm",
                f"{share.ppm} is out of range: a share is 0 to {PPM:,} ppm (0 to 100 %)",
            )
    total = sum(share.ppm for share in split)
    if total != PPM:
        raise InvalidField(
            "split",
            f"the shares add up to {percent(total)}, not 100 %: "
            f"{'add' if total < PPM else 'take away'} {percent(abs(PPM - total))}",
        )


def percent(ppm: int) -> str:
    """Write a share in percent, exactly: 125_000 is '12.5 %'."""
    whole, rest = divmod(ppm, PPM // 100)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + " %"


def unknown(name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, and which known one is nearest."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"{name!r} is not known; did you mean {near[0]!r}?"
    return f"{name!r} is not known; known are {', '.join(map(repr, names)) or 'none'}"


def _check_immutable(current: Flag, draft: Flag) -> None:
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
    if not 1 <= len(flag.variants) <= 100:
        raise InvalidField("variants", f"there are {len(flag.variants)}; declare 1 to 100")
    keys = [variant.key for variant in flag.variants]
    _check_unique("variants", keys)
    for index, variant in enumerate(flag.variants):
        _check_key(f"variants[{index}].key", variant.key)
        size = len(json.dumps(dict(variant.value), ensure_ascii=False).encode())
        if size > VALUE_LIMIT:
            raise InvalidField(
                f"variants[{index}].value",
                f"is {size:,} bytes of JSON; at most {VALUE_LIMIT:,} are allowed: "
                "keep large material elsewhere and give its address",
            )
    return keys


def _check_rules(rules: Sequence[Rule], variants: Sequence[VariantKey]) -> None:
    if len(rules) > 100:
        raise InvalidField("rules", f"there are {len(rules)}; at most 100 are allowed")
    _check_unique("rules", [rule.name for rule in rules])
    for index, rule in enumerate(rules):
        _check_length(f"rules[{index}].name", rule.name, 1, 100)
        _check_variant(f"rules[{index}].variant", rule.variant, variants)
        if not 1 <= len(rule.clauses) <= 100:
            raise InvalidField(
                f"rules[{index}].clauses", f"there are {len(rule.clauses)}; give 1 to 100"
            )
        for number, clause in enumerate(rule.clauses):
            _check_clause(f"rules[{index}].clauses[{number}]", clause)


def _check_clause(path: str, clause: Clause) -> None:
    _check_length(f"{path}.attribute", clause.attribute, 1, 100)
    if clause.operator is Operator.EXISTS:
        if clause.values:
            raise InvalidField(f"{path}.values", "must be empty for the operator 'exists'")
        return
    if not 1 <= len(clause.values) <= 10_000:
        raise InvalidField(f"{path}.values", f"there are {len(clause.values)}; give 1 to 10,000")
    for index, value in enumerate(clause.values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if clause.operator in NUMERIC and not number:
            raise InvalidField(
                f"{path}.values[{index}]", f"{value!r} must be a number for {clause.operator!r}"
            )
        if clause.operator in TEXTUAL and not isinstance(value, str):
            raise InvalidField(
                f"{path}.values[{index}]", f"{value!r} must be a string for {clause.operator!r}"
            )


def _check_overrides(flag: Flag, variants: Sequence[VariantKey]) -> None:
    if len(flag.overrides) > 1_000:
        raise InvalidField(
            "overrides", f"there are {len(flag.overrides)}; at most 1,000: use a rule instead"
        )
    _check_unique("overrides", [override.unit_id for override in flag.overrides])
    for index, override in enumerate(flag.overrides):
        _check_length(f"overrides[{index}].unit_id", override.unit_id, 1, 1_000)
        _check_variant(f"overrides[{index}].variant", override.variant, variants)


def _check_key(field: str, key: str | FlagKey | VariantKey) -> None:
    if not KEY.fullmatch(key):
        raise InvalidField(field, f"{key!r} is not a valid name: use {KEY_RULE}")


def _check_length(field: str, text: str, least: int, most: int) -> None:
    if not least <= len(text) <= most:
        raise InvalidField(field, f"has {len(text)} characters; give {least} to {most:,}")


def _check_variant(field: str, key: VariantKey, variants: Sequence[VariantKey]) -> None:
    if key not in variants:
        raise InvalidField(field, f"variant {unknown(key, variants)}")


def _check_unique(field: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise InvalidField(f"{field}[{index}]", f"{name!r} occurs twice; name it once")
        seen.add(name)
