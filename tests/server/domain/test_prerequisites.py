"""What a flag may ask of others."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.domain.drafts import V1, V2, draft, snapshot
from tidegate.model import Flag, FlagKey, Prerequisite, VariantKey
from tidegate.prerequisites import LONGEST_CHAIN
from tidegate_server.domain.prerequisites import check, check_kept, check_unneeded
from tidegate_server.errors import InUse, InvalidField


def asking(key: str, *others: str) -> Flag:
    return draft(key, prerequisites=tuple(Prerequisite(FlagKey(other), (V2,)) for other in others))


def test_a_chain_is_allowed_and_a_cycle_is_named() -> None:
    flags = snapshot(asking("a"), asking("b", "a"), asking("c", "b"), asking("d", "b", "c")).flags
    check(asking("e", "d", "a"), flags)
    with pytest.raises(InvalidField) as caught:
        check(asking("a", "d"), flags)
    assert caught.value.field == "prerequisites[0].flag_key"
    assert caught.value.problem in (
        "closes the cycle a → d → b → a: take one out",
        "closes the cycle a → d → c → b → a: take one out",
    )


@pytest.mark.parametrize(
    ("prerequisites", "field"),
    [
        ((Prerequisite(FlagKey("a"), (V1,)),), "prerequisites[0].flag_key"),
        ((Prerequisite(FlagKey("z"), (V1,)),), "prerequisites[0].flag_key"),
        ((Prerequisite(FlagKey("b"), ()),), "prerequisites[0].variants"),
        ((Prerequisite(FlagKey("b"), (V1, V1)),), "prerequisites[0].variants[1]"),
        ((Prerequisite(FlagKey("b"), (VariantKey("x"),)),), "prerequisites[0].variants[0]"),
        ((Prerequisite(FlagKey("b"), (V1,)),) * 2, "prerequisites[1]"),
        (tuple(Prerequisite(FlagKey(f"f{i}"), (V1,)) for i in range(21)), "prerequisites"),
    ],
)
def test_what_is_wrong_is_named(prerequisites: tuple[Prerequisite, ...], field: str) -> None:
    flags = snapshot(draft("a"), draft("b")).flags
    with pytest.raises(InvalidField) as caught:
        check(draft("a", prerequisites=prerequisites), flags)
    assert caught.value.field == field


def test_what_others_need_stays() -> None:
    flags = snapshot(draft("a"), asking("b", "a"), asking("c", "a")).flags
    with pytest.raises(InUse, match="flag 'a' is a prerequisite of 'b', 'c': take it out"):
        check_unneeded(FlagKey("a"), flags)
    check_unneeded(FlagKey("b"), flags)
    check_kept(draft("a"), flags)
    with pytest.raises(InvalidField, match="'v2' is asked for by the prerequisites of flag 'b'"):
        check_kept(draft("a", variants=draft().variants[:1]), flags)


def test_a_chain_that_evaluation_would_not_follow_is_refused_at_either_end() -> None:
    chain = [draft("f0"), *(asking(f"f{i}", f"f{i - 1}") for i in range(1, LONGEST_CHAIN + 1))]
    longest = snapshot(*chain).flags
    check(chain[-1], longest)
    with pytest.raises(InvalidField, match="for flag 'g' they would add up to a chain of more"):
        check(asking("g", f"f{LONGEST_CHAIN}"), longest)
    with pytest.raises(InvalidField, match=f"for flag 'f{LONGEST_CHAIN}' they would add up"):
        check(asking("f0", "g"), {**longest, FlagKey("g"): draft("g")})


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=40))
def test_whatever_is_accepted_has_no_cycle(edges: list[tuple[int, int]]) -> None:
    flags = {FlagKey(f"f{i}"): draft(f"f{i}") for i in range(8)}
    for source, target in edges:
        flag = flags[FlagKey(f"f{source}")]
        new = Prerequisite(FlagKey(f"f{target}"), (V1,))
        changed = replace(flag, prerequisites=(*flag.prerequisites, new))
        try:
            check(changed, flags)
        except InvalidField:
            continue
        flags[flag.key] = changed
    left = dict(flags)
    while left:  # take out, again and again, what asks for nothing that is left
        free = [
            key for key, flag in left.items() if all(p.flag not in left for p in flag.prerequisites)
        ]
        assert free
        for key in free:
            del left[key]
