from collections.abc import Mapping

import pytest

from tests.sdk.flags import V1, make_flag
from tidegate.model import Flag, FlagKey, Prerequisite
from tidegate.prerequisites import LONGEST_CHAIN, MOST_EVALUATIONS, is_endless, needed_flags


def needing(key: str, *others: str) -> Flag:
    prerequisites = tuple(Prerequisite(FlagKey(other), (V1,)) for other in others)
    return make_flag(key, prerequisites=prerequisites)


def flags_of(*flags: Flag) -> Mapping[FlagKey, Flag]:
    return {flag.key: flag for flag in flags}


def row(length: int) -> Mapping[FlagKey, Flag]:
    """Return flags each of which needs the next; the last needs nothing."""
    inner = (needing(f"flag-{number}", f"flag-{number + 1}") for number in range(length))
    return flags_of(*inner, needing(f"flag-{length}"))


def test_what_is_needed_of_what_is_needed() -> None:
    flags = flags_of(needing("a", "b", "gone"), needing("b", "c"), needing("c"), needing("d", "a"))
    assert needed_flags(flags[FlagKey("a")], flags) == {"b", "c", "gone"}
    assert needed_flags(flags[FlagKey("c")], flags) == set()
    assert not is_endless(flags[FlagKey("d")], flags)


@pytest.mark.parametrize("key", ["a", "b", "c", "leading-there"])
def test_a_circle_is_endless(key: str) -> None:
    flags = flags_of(
        needing("a", "b"), needing("b", "c"), needing("c", "a"), needing("leading-there", "b")
    )
    assert is_endless(flags[FlagKey(key)], flags)
    assert needed_flags(flags[FlagKey(key)], flags) == {"a", "b", "c"}


def test_a_flag_that_needs_itself_is_endless() -> None:
    flag = needing("a", "a")
    assert is_endless(flag, flags_of(flag))


@pytest.mark.parametrize(("length", "endless"), [(LONGEST_CHAIN, False), (LONGEST_CHAIN + 1, True)])
def test_a_row_has_a_longest_length(length: int, endless: bool) -> None:
    flags = row(length)
    assert is_endless(flags[FlagKey("flag-0")], flags) is endless


def test_evaluations_multiply() -> None:
    names = [f"leaf-{number}" for number in range(40)]
    leaves = [needing(name) for name in names]
    wide = needing("wide", *names)
    flags = flags_of(*leaves, wide, needing("twice", *["wide"] * 20), needing("once", "wide"))
    assert 40 * 20 + 20 < MOST_EVALUATIONS < 40 * 40
    assert not is_endless(flags[FlagKey("twice")], flags)
    assert is_endless(needing("more", *["wide"] * 40), flags)
    assert is_endless(needing("most", *["once"] * (MOST_EVALUATIONS + 1)), flags)
