import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from tests.sdk.flags import V1, V2, make_flag, make_snapshot
from tidegate.arm import outside_split
from tidegate.evaluation import CompiledSnapshot, Given
from tidegate.model import (
    Allocation,
    Clause,
    Flag,
    LayerSlot,
    Operator,
    Reason,
    Rule,
    RuleSplit,
    Snapshot,
    SplitShare,
    VariantKey,
)
from tidegate.sessions import MOST_SESSIONS, Sessions


class Clock:
    """Tells the seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Desk:
    """Asks for one flag as it changes."""

    def __init__(self, *, ttl: float = 3_600.0, size: int = MOST_SESSIONS) -> None:
        self.clock = Clock()
        self.sessions = Sessions(ttl, size=size, clock=self.clock)
        self.compiled = CompiledSnapshot(Snapshot(make_snapshot().revision))

    def put(self, flag: Flag) -> None:
        self.compiled = CompiledSnapshot(make_snapshot(flag))

    def delete(self) -> None:
        self.compiled = CompiledSnapshot(Snapshot(make_snapshot().revision))

    def ask(
        self, session_id: str = "s1", unit_id: str = "u1", attributes: dict[str, Any] | None = None
    ) -> Given:
        given = self.compiled.evaluate("chat-model", unit_id, attributes).given
        return self.sessions.given(self.compiled.snapshot, session_id, unit_id, given)


def rule_split(*keys: str) -> RuleSplit:
    """Return a rule's split that gives everything to the first key, and names the others."""
    first, *others = (VariantKey(key) for key in keys)
    starts = (0, *(2**32 - number for number in range(len(others), 0, -1)))
    return RuleSplit((SplitShare(first, 1_000_000),), Allocation(starts, (first, *others)))


def rule(serve: VariantKey | RuleSplit) -> Rule:
    return Rule("staff", (Clause("team", Operator.IN, ("eval",)),), serve)


STAFF = {"team": "eval"}
MOSTLY_V2 = make_flag(shares=(1, 99), phase=2)


@pytest.fixture
def desk() -> Desk:
    """One with session s1 of u1 pinned to v1, in phase 1."""
    desk = Desk()
    desk.put(make_flag(shares=(100, 0)))
    assert desk.ask().variant == "v1"
    return desk


def test_a_pin_keeps_variant_value_and_phase(desk: Desk) -> None:
    desk.put(MOSTLY_V2)
    for _ in range(2):
        kept = desk.ask()
        assert (kept.variant, kept.phase, kept.reason) == ("v1", 1, Reason.PINNED)
        assert kept.value["model"] == "llama-v1"
        assert not outside_split(kept)
    assert desk.ask("s2").variant == "v2"
    assert desk.ask("s1", "u2").variant == "v2"


def test_while_nothing_moves_the_split_decides(desk: Desk) -> None:
    assert desk.ask().reason is Reason.SPLIT
    desk.put(make_flag(shares=(100, 0), description="edited"))
    assert desk.ask().reason is Reason.SPLIT


def test_sessions_with_one_pin_share_what_they_are_given(desk: Desk) -> None:
    desk.ask("s2")
    desk.put(MOSTLY_V2)
    assert desk.ask("s1") is desk.ask("s2")


def test_the_same_variant_in_another_phase_stays_in_the_phase_of_the_pin(desk: Desk) -> None:
    desk.put(make_flag(shares=(99, 1), phase=2))
    kept = desk.ask()
    assert (kept.variant, kept.phase, kept.reason) == ("v1", 1, Reason.PINNED)


def test_the_kill_switch_breaks_pins(desk: Desk) -> None:
    desk.put(replace(MOSTLY_V2, killed=True, default=V2))
    assert (desk.ask().variant, desk.ask().reason) == ("v2", Reason.KILLED)
    desk.put(MOSTLY_V2)
    assert (desk.ask().variant, desk.ask().reason) == ("v2", Reason.SPLIT)


def test_a_rollback_breaks_pins(desk: Desk) -> None:
    desk.put(make_flag(shares=(0, 100), phase=2))
    assert (desk.ask().variant, desk.ask().phase, desk.ask().reason) == ("v2", 2, Reason.SPLIT)
    desk.put(make_flag(shares=(99, 1), phase=3))
    assert (desk.ask().variant, desk.ask().phase) == ("v2", 2)


def test_a_variant_that_is_gone_breaks_pins(desk: Desk) -> None:
    flag = make_flag(shares=(0, 100), phase=2)
    desk.put(replace(flag, variants=flag.variants[1:], split=flag.split[1:], default=V2))
    assert desk.ask().variant == "v2"


def test_deleting_breaks_pins(desk: Desk) -> None:
    desk.delete()
    assert desk.ask().reason is Reason.FLAG_NOT_FOUND
    desk.put(MOSTLY_V2)
    assert desk.ask().variant == "v2"


def test_deleting_breaks_pins_that_are_not_used_meanwhile() -> None:
    desk = Desk()
    desk.put(make_flag(shares=(100, 0), create_time=datetime(2026, 1, 1, tzinfo=UTC)))
    desk.ask()
    desk.put(replace(MOSTLY_V2, create_time=datetime(2026, 1, 2, tzinfo=UTC)))
    assert desk.ask().variant == "v2"


def test_nobody_enrolled_breaks_pins(desk: Desk) -> None:
    desk.put(replace(MOSTLY_V2, enrolment_ppm=0))
    assert desk.ask().phase == 2


def test_a_lost_slot_in_the_layer_breaks_pins(desk: Desk) -> None:
    slot = LayerSlot("chat", 1, Allocation((0,), (VariantKey("chat-model"),)))
    desk.put(replace(MOSTLY_V2, layer=slot))
    assert desk.ask().variant == "v1"
    desk.put(replace(MOSTLY_V2, layer=replace(slot, allocation=Allocation((0,), (V1,)))))
    assert desk.ask().phase == 2


def test_edits_that_take_nobody_out_of_the_split_leave_pins(desk: Desk) -> None:
    desk.put(replace(MOSTLY_V2, rules=(rule(V2),)))
    kept = desk.ask(attributes=STAFF)
    assert (kept.variant, kept.reason) == ("v1", Reason.PINNED)


def test_a_rule_with_one_variant_pins_nobody() -> None:
    desk = Desk()
    desk.put(make_flag(shares=(0, 100), rules=(rule(V1),)))
    assert desk.ask(attributes=STAFF).variant == "v1"
    assert len(desk.sessions) == 0
    assert desk.ask().variant == "v2"


def test_the_split_of_a_rule_is_pinned_and_stays_outside_the_flags_split() -> None:
    desk = Desk()
    desk.put(make_flag(shares=(0, 100), rules=(rule(rule_split("v1")),)))
    assert desk.ask(attributes=STAFF).reason is Reason.RULE
    desk.put(make_flag(shares=(0, 100), phase=2, rules=(rule(rule_split("v2", "v1")),)))
    for attributes in (STAFF, None):
        kept = desk.ask(attributes=attributes)
        assert (kept.variant, kept.phase, kept.reason, kept.rule) == (
            "v1",
            1,
            Reason.PINNED,
            "staff",
        )
        assert outside_split(kept)
    desk.put(make_flag(shares=(0, 100), phase=3, rules=(rule(rule_split("v2")),)))
    assert desk.ask(attributes=STAFF).variant == "v2"


def test_a_pin_lives_as_long_as_it_is_used() -> None:
    desk = Desk(ttl=10)
    desk.put(make_flag(shares=(100, 0)))
    desk.ask()
    desk.put(MOSTLY_V2)
    for seconds in range(8, 80, 8):
        desk.clock.seconds = float(seconds)
        assert desk.ask().variant == "v1"
    desk.clock.seconds += 10.1
    assert desk.ask().variant == "v2"


def test_what_expired_is_forgotten() -> None:
    desk = Desk(ttl=10)
    desk.put(make_flag())
    for number in range(100):
        desk.ask(f"s{number}")
    assert len(desk.sessions) == 100
    desk.clock.seconds = 11
    desk.ask("another")
    assert len(desk.sessions) == 1


def test_memory_is_bounded_and_the_least_recently_used_go_first() -> None:
    desk = Desk(size=100)
    desk.put(make_flag(shares=(100, 0)))
    for number in range(1_000):
        desk.ask(f"s{number}")
        desk.ask("s0")
        assert len(desk.sessions) <= 100
    desk.put(MOSTLY_V2)
    assert desk.ask("s0").variant == "v1"
    assert desk.ask("s1").variant == "v2"


splits = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 100), st.booleans()), min_size=1, max_size=12
)


@settings(max_examples=200, deadline=None)
@for_all(splits)
def test_a_session_changes_variant_only_when_its_pin_breaks(
    changes: Sequence[tuple[int, int, bool]],
) -> None:
    desk = Desk()
    before: dict[str, Given] = {}
    for phase, (one, two, killed) in enumerate(changes, start=1):
        shares = sorted((0, one, two, 100))
        flag = make_flag(
            shares=[shares[i + 1] - shares[i] for i in range(3)], phase=phase, killed=killed
        )
        desk.put(flag)
        for number in range(40):
            unit = f"u{number}"
            given = desk.ask("s", unit)
            old = before.get(unit)
            if killed:
                assert given.reason is Reason.KILLED
                before.pop(unit, None)
                continue
            if old is not None and old.variant in flag.allocation.variants:
                assert (given.variant, given.phase) == (old.variant, old.phase)
                assert given.reason is Reason.PINNED
            else:
                assert (given.phase, given.reason) == (phase, Reason.SPLIT)
            before[unit] = given


def test_threads_agree_on_a_pin() -> None:
    desk = Desk(size=1_000)
    other = CompiledSnapshot(make_snapshot(MOSTLY_V2))
    desk.put(make_flag(shares=(99, 1)))
    start = threading.Barrier(4)
    seen: list[tuple[int, str]] = []

    def ask_all(compiled: CompiledSnapshot) -> None:
        start.wait()
        for number in range(500):
            given = compiled.evaluate("chat-model", f"u{number}").given
            kept = desk.sessions.given(compiled.snapshot, "s", f"u{number}", given)
            seen.append((number, kept.variant))

    threads = [
        threading.Thread(target=ask_all, args=(compiled,))
        for compiled in (desk.compiled, other) * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2_000
    assert len(set(seen)) == 500


def test_a_lock_that_was_held_at_the_fork_is_replaced(desk: Desk) -> None:
    desk.sessions._lock.acquire()
    desk.sessions.after_fork()
    assert desk.ask().variant == "v1"
