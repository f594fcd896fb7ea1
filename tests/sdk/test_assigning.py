import sys
import threading
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from tests.sdk.flags import V1, V2, make_flag, make_segment, make_snapshot
from tests.sdk.strategies import FLAG_KEYS, UNITS, attributes, snapshots, unit_ids
from tidegate import recorder
from tidegate.assignment import Assignment
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import Clause, Operator, Override, Reason, Rule, Snapshot
from tidegate.testing import TestClient

SURROGATE = "user-\ud800"


class Team(StrEnum):
    EVAL = "eval"


class Greedy(str):
    """Text that has its own mind about addition."""

    __slots__ = ()

    def __radd__(self, other: str) -> str:
        return f"{other}somebody-else"


units = unit_ids | st.sampled_from(
    ["", SURROGATE, "u" * 1_000, "u" * 1_001, "ü" * 1_000, "ü" * 1_001, Team.EVAL, 7, None, b"u"]
)


def facts(assignment: Any) -> tuple[Any, ...]:
    return (assignment.given, assignment.unit_id, assignment.revision)


@for_all(snapshots(), st.sampled_from(FLAG_KEYS), units, attributes, st.booleans())
def test_a_plan_gives_what_evaluation_gives(
    snapshot: Snapshot, flag: str, unit: Any, about: Any, exposing: bool
) -> None:
    client = TestClient(snapshot=snapshot, record_exposures=exposing)
    client.assign(flag, UNITS[0])  # makes the plan
    compiled = client._current.compiled
    assert compiled.plans.keys() == {flag}
    expected = compiled.evaluate(flag, unit, about)
    for _ in range(2):
        assert facts(client.assign(flag, unit, about)) == facts(expected)
    known = [(each.variant, each.unit_id) for each in client.exposures]
    if not exposing:
        assert not known
    elif expected.variant:
        assert known.count((expected.variant, str(expected.unit_id))) == 1


@pytest.mark.parametrize(
    "shares", [(100,), (50, 50), (95, 5), (5, 95), (0, 100), (50, 30, 20), (20, 20, 20, 20, 20)]
)
def test_every_range_is_found(shares: tuple[int, ...]) -> None:
    client = TestClient(snapshot=make_snapshot(make_flag(shares=shares)))
    compiled = CompiledSnapshot(make_snapshot(make_flag(shares=shares)))
    found = {
        f"user-{number}": client.assign("chat-model", f"user-{number}") for number in range(500)
    }
    for unit, assignment in found.items():
        assert assignment.variant == compiled.evaluate("chat-model", unit).variant
    assert len({each.variant for each in found.values()}) == sum(share > 0 for share in shares)


def test_each_step_is_taken_by_the_plan_too() -> None:
    rules = (
        Rule("beta", (Clause("", Operator.IN_SEGMENT, ("beta",)),), V2),
        Rule("staff", (Clause("team", Operator.IN, ("eval",)),), V2),
    )
    flag = make_flag(shares=(100, 0), rules=rules, overrides=(Override("tester", V2),))
    segment = make_segment("beta", included=frozenset({"early"}))
    client = TestClient(snapshot=make_snapshot(flag, segments=[segment]))
    for _ in range(2):
        assert client.assign("chat-model", "tester").reason is Reason.OVERRIDE
        assert client.assign("chat-model", "early").rule == "beta"
        assert client.assign("chat-model", "early", {"team": "other"}).rule == "beta"
        assert client.assign("chat-model", "user", {"team": "eval"}).rule == "staff"
        assert client.assign("chat-model", "user", {"team": "other"}).variant == V1


def test_text_with_its_own_addition_is_the_same_unit() -> None:
    client = TestClient(snapshot=make_snapshot())
    for _ in range(2):
        for number in range(20):
            assignment = client.assign("chat-model", Greedy(f"user-{number}"))
            assert assignment.variant == client.assign("chat-model", f"user-{number}").variant


def test_exposures_name_units_by_exact_strings() -> None:
    client = TestClient(snapshot=make_snapshot())
    client.assign("chat-model", "user-1")
    for _ in range(2):
        client.assign("chat-model", Team.EVAL)
    assert [(type(unit), unit) for _, _, unit, _, _ in client._events] == [
        (str, "user-1"),
        (str, "eval"),
    ]


def test_units_with_the_same_result_share_its_grant() -> None:
    client = TestClient(snapshot=make_snapshot(make_flag(shares=(50, 50))))
    grants = {client.assign("chat-model", f"user-{number}").grant for number in range(200)}
    assert len(grants) == 2


def test_a_change_of_another_flag_keeps_exposures_and_moves_the_revision() -> None:
    client = TestClient(snapshot=make_snapshot(make_flag(shares=(50, 50))))
    before = client.assign("chat-model", "user-1")
    client.set("other", "v1")
    after = client.assign("chat-model", "user-1")
    assert after.revision == before.revision + 1
    assert after.variant == before.variant
    assert len(client.exposures) == 1


def test_a_dropped_exposure_gets_another_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(snapshot=make_snapshot())
    client.assign("chat-model", "somebody")
    monkeypatch.setattr(client._recorder, "add", lambda _: False)
    client.assign("chat-model", "user-1")
    monkeypatch.undo()
    for _ in range(2):
        client.assign("chat-model", "user-1")
    assert [each.unit_id for each in client.exposures] == ["somebody", "user-1"]


def test_memory_of_exposures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_SEEN", 100)
    client = TestClient(snapshot=make_snapshot())
    for number in range(1_000):
        grant = client.assign("chat-model", f"user-{number}").grant
        assert len(grant.seen) <= 100
        plans = client._current.compiled.grants.values()
        assert sum(len(each.seen) for each in plans) <= 100
    assert len(client.exposures) == 1_000


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Switch threads often, and don't trace new ones: coverage has them switch where none would."""
    interval, trace = sys.getswitchinterval(), threading.gettrace()
    sys.setswitchinterval(1e-6)
    threading.settrace(None)
    yield
    threading.settrace(trace)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("often_switched")
def test_threads_record_each_exposure_once() -> None:
    client = TestClient(snapshot=make_snapshot())
    start = threading.Barrier(4)
    found: list[Assignment] = []

    def assign_all() -> None:
        start.wait()
        found.extend(client.assign("chat-model", f"user-{number}") for number in range(2_000))

    threads = [threading.Thread(target=assign_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8_000
    assert set(Counter(each.unit_id for each in client.exposures).values()) == {1}
