"""Prerequisites: what a flag may ask of others, and what others then may no longer lose."""

from collections.abc import Mapping

from tidegate.model import Flag, FlagKey, VariantKey
from tidegate.prerequisites import LONGEST_CHAIN, MOST_EVALUATIONS, is_endless
from tidegate_server.domain.checks import (
    check_count,
    check_unique,
    check_variant,
    listed,
    unknown,
)
from tidegate_server.errors import InUse, InvalidField

MOST = 20
"""Most prerequisites of one flag."""


def check(flag: Flag, flags: Mapping[FlagKey, Flag]) -> None:
    """Check that a flag asks for what exists, closes no cycle among `flags`, and stays in bounds.

    Raises:
        InvalidField: names the first prerequisite that breaks a rule, and the cycle.
    """
    check_count("prerequisites", flag.prerequisites, 0, MOST)
    check_unique("prerequisites", [each.flag for each in flag.prerequisites])
    for index, each in enumerate(flag.prerequisites):
        path = f"prerequisites[{index}]"
        if each.flag == flag.key:
            raise InvalidField(f"{path}.flag_key", "a flag can't be its own prerequisite: drop it")
        if each.flag not in flags:
            raise InvalidField(f"{path}.flag_key", f"flag {unknown(each.flag, flags)}")
        check_count(f"{path}.variants", each.variants, 1, 100)
        check_unique(f"{path}.variants", each.variants)
        variants = [variant.key for variant in flags[each.flag].variants]
        for number, key in enumerate(each.variants):
            check_variant(f"{path}.variants[{number}]", key, variants)
        way = _way(each.flag, flag.key, flags)
        if way:
            cycle = " → ".join([flag.key, *way])
            raise InvalidField(f"{path}.flag_key", f"closes the cycle {cycle}: take one out")

    if flag.prerequisites:
        _check_bounded({**flags, flag.key: flag})


def _check_bounded(flags: Mapping[FlagKey, Flag]) -> None:
    for key, flag in flags.items():
        if is_endless(flag, flags):
            raise InvalidField(
                "prerequisites",
                f"for flag {key!r} they would add up to a chain of more than {LONGEST_CHAIN} "
                f"flags, or to more than {MOST_EVALUATIONS:,} evaluations: ask for fewer",
            )


def check_unneeded(key: FlagKey, flags: Mapping[FlagKey, Flag]) -> None:
    """Check that no flag has the flag `key` as a prerequisite.

    Raises:
        InUse: names those that do.
    """
    users = list(_variants_needed(key, flags))
    if users:
        raise InUse(
            f"flag {key!r} is a prerequisite of {listed(users)}: "
            "take it out of their prerequisites first"
        )


def check_kept(draft: Flag, flags: Mapping[FlagKey, Flag]) -> None:
    """Check that a flag still has the variants that others ask of it.

    Raises:
        InvalidField: names a variant that is missing, and who asks for it.
    """
    kept = {variant.key for variant in draft.variants}
    for user, needed in _variants_needed(draft.key, flags).items():
        for key in needed:
            if key not in kept:
                raise InvalidField(
                    "variants",
                    f"{key!r} is asked for by the prerequisites of flag {user!r}: "
                    "keep it, or change that flag first",
                )


def _variants_needed(
    key: FlagKey, flags: Mapping[FlagKey, Flag]
) -> dict[FlagKey, tuple[VariantKey, ...]]:
    """Return who has the flag `key` as a prerequisite, and which of its variants they name."""
    users = [
        (other.key, each.variants)
        for other in flags.values()
        for each in other.prerequisites
        if each.flag == key
    ]
    return dict(sorted(users))


def _way(start: FlagKey, end: FlagKey, flags: Mapping[FlagKey, Flag]) -> list[FlagKey]:
    """Return a way over prerequisites from `start` to `end`, both included; empty if none."""
    came_from: dict[FlagKey, FlagKey] = {}
    open_keys = [start]
    seen = {start}
    while open_keys:
        key = open_keys.pop()
        for each in flags[key].prerequisites if key in flags else ():
            if each.flag not in seen:
                seen.add(each.flag)
                came_from[each.flag] = key
                open_keys.append(each.flag)
    if end not in seen:
        return []
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]
