"""Prerequisites: what a flag needs of other flags, and theirs of others still.

A cycle is refused when a flag is committed; evaluation guards against one all the same, and against
prerequisites that would take for ever, by their number.
"""

from collections.abc import Mapping

from tidegate.model import Flag, FlagKey

LONGEST_CHAIN = 20
"""Most flags in a row, each a prerequisite of the one before."""

MOST_EVALUATIONS = 1_000
"""Most evaluations of other flags that one evaluation may take."""


def needed_flags(flag: Flag, flags: Mapping[FlagKey, Flag]) -> frozenset[FlagKey]:
    """Return the keys of all flags that `flag` needs, directly or through others."""
    needed: set[FlagKey] = set()
    pending = [each.flag for each in flag.prerequisites]
    while pending:
        key = pending.pop()
        if key not in needed:
            needed.add(key)
            pending += _prerequisites(key, flags)
    return frozenset(needed)


def is_endless(flag: Flag, flags: Mapping[FlagKey, Flag]) -> bool:
    """Return whether the flag's prerequisites lead round in a circle, or exceed the limits.

    Such a flag gives everybody its default variant.
    """
    level = [each.flag for each in flag.prerequisites]
    total = len(level)
    for _ in range(LONGEST_CHAIN):
        if not level or total > MOST_EVALUATIONS:
            break
        level = [each for key in level for each in _prerequisites(key, flags)]
        total += len(level)
    return bool(level)


def _prerequisites(key: FlagKey, flags: Mapping[FlagKey, Flag]) -> list[FlagKey]:
    flag = flags.get(key)
    return [each.flag for each in flag.prerequisites] if flag is not None else []
