"""Layers: disjoint slots that move as little as can be."""

from bisect import bisect_right
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.domain.drafts import LATER, NOW, draft, slot, snapshot
from tidegate.model import PPM, Allocation, Flag, FlagKey, Revision, VariantKey
from tidegate_server.domain.allocation import moves, shares
from tidegate_server.domain.flags import created, updated
from tidegate_server.domain.layers import FREE, placed
from tidegate_server.errors import InvalidField

NOTHING = Allocation((0,), (FREE,))


def place(key: str, ppm: int, *others: Flag, layer: str = "chat") -> Flag:
    flag = draft(key, layer=slot(layer, ppm))
    return replace(flag, layer=placed(flag, snapshot(*others).flags))


def ranges(flag: Flag | None) -> Allocation:
    return NOTHING if flag is None or flag.layer is None else flag.layer.allocation


def test_slots_are_laid_side_by_side() -> None:
    a = place("a", 300_000)
    b = place("b", 700_000, a)
    assert ranges(a).variants == ("", "a")
    assert ranges(b).variants == ("b", "")
    assert ranges(a).starts == ranges(b).starts


def test_other_layers_take_no_room() -> None:
    a = place("a", PPM, layer="search")
    assert shares(ranges(place("b", PPM, a))) == {"b": PPM}


def test_a_flag_without_a_layer_has_no_slot() -> None:
    assert placed(draft(), {}) is None


def test_a_slot_that_does_not_fit_names_the_room_and_who_has_the_rest() -> None:
    a, b = place("a", 300_000), place("b", 250_000, place("a", 300_000))
    with pytest.raises(InvalidField) as caught:
        place("c", 500_000, a, b)
    assert str(caught.value) == (
        "layer.share_ppm: 50 % does not fit into layer 'chat', of which 45 % is free "
        "('a' holds 30 %, 'b' holds 25 %): give at most 45 %, or shrink another"
    )
    full = place("a", PPM)
    with pytest.raises(InvalidField, match=r"0 % is free \('a' holds 100 %\): shrink another"):
        place("b", 1, full)


def test_a_slot_grows_into_what_it_has_of_its_own() -> None:
    a = place("a", 300_000)
    assert shares(ranges(place("a", PPM, a))) == {"a": PPM}


Step = tuple[str, str | None, int]
steps = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["chat", "chat", "chat", "search", None]),
        st.integers(1, PPM // 2),
    ),
    max_size=25,
)


@given(steps)
def test_any_sequence_keeps_slots_apart_and_moves_only_what_it_must(sequence: list[Step]) -> None:
    flags: dict[FlagKey, Flag] = {}
    for number, (name, layer, ppm) in enumerate(sequence, 1):
        key, before = FlagKey(name), snapshot(*flags.values())
        wanted = draft(name, layer=layer and slot(layer, ppm))
        try:
            if key in flags:
                after = updated(flags[key], wanted, before, Revision(number), LATER)
            else:
                after = created(wanted, before, Revision(number), NOW)
        except InvalidField:
            assert layer is not None
            held = sum(
                f.layer.ppm
                for k, f in flags.items()
                if f.layer and f.layer.layer == layer and k != key
            )
            assert held + ppm > PPM
            continue
        former = flags.get(key)
        flags[key] = after
        if after.layer is not None:
            assert after.layer.allocation.starts[0] == 0
            assert shares(after.layer.allocation)[VariantKey(name)] == ppm
        if former and former.layer and after.layer and former.layer.layer == layer:
            moved = sum(move.ppm for move in moves(ranges(former), ranges(after)))
            assert moved == abs(former.layer.ppm - ppm)
        if former:
            same = (former.layer is None) == (after.layer is None) and (
                ranges(former) == ranges(after)
                and (former.layer and former.layer.layer) == (after.layer and after.layer.layer)
            )
            assert (after.phase == former.phase) is same
        assert_apart(flags)


def assert_apart(flags: dict[FlagKey, Flag]) -> None:
    for layer in ("chat", "search"):
        slots = [f.layer.allocation for f in flags.values() if f.layer and f.layer.layer == layer]
        for start in sorted({start for one in slots for start in one.starts}):
            owners = [one.variants[bisect_right(one.starts, start) - 1] for one in slots]
            assert sum(owner != FREE for owner in owners) <= 1
