from dataclasses import replace
from datetime import timedelta

import pytest

from tests.server.domain.experiments.samples import NOW, PERCENT, PLAN
from tests.server.domain.replicas.samples import (
    POLICY,
    V1,
    V2,
    V3,
    order,
    percent,
    replica,
    serving,
    wanted,
)
from tidegate.model import FlagKey, VariantKey
from tidegate_server.domain.experiments.look import OPEN, Gate, GateState
from tidegate_server.domain.experiments.plan import Stage
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.domain.replicas.gate import replica_gate
from tidegate_server.domain.replicas.reassign import reassign
from tidegate_server.domain.replicas.replica import Failure, Replica, ReplicaState
from tidegate_server.domain.replicas.wanted import Wanted


def gate(
    share: int,
    replicas: list[Replica],
    status: Status = Status.ENTERING,
    *,
    staged: bool = True,
    kept: tuple[VariantKey, ...] = (),
) -> Gate:
    plan = replace(PLAN, stages=(Stage("canary", share * PERCENT, replicas=staged),))
    return replica_gate(plan, State(status), on_the_way(share, kept), replicas, POLICY, NOW)


def on_the_way(share: int, kept: tuple[VariantKey, ...] = ()) -> Wanted:
    coming = percent(v1=100 - share, v2=share)
    return wanted(coming, percent(v1=100), kept=(V1, *kept))


@pytest.mark.parametrize(
    ("share", "v1", "v2", "why"),
    [
        (5, 3, 0, "0 of 1 replicas serve v2"),
        (5, 2, 1, ""),
        (50, 2, 1, "1 of 2 replicas serve v2"),
        (50, 1, 2, ""),
        (34, 8, 2, "2 of 4 replicas serve v2"),
        (100, 2, 1, "1 of 2 replicas serve v2"),
        (100, 1, 2, ""),
        (100, 0, 3, ""),
        (
            50,
            1,
            0,
            "1 of the replicas of chat-model can serve: canary needs one for v1 and one for v2",
        ),
        (
            50,
            0,
            0,
            "0 of the replicas of chat-model can serve: canary needs one for v1 and one for v2",
        ),
    ],
)
def test_a_stage_waits_for_its_replicas(share: int, v1: int, v2: int, why: str) -> None:
    state = GateState.WAITING if why else GateState.OPEN
    assert gate(share, serving(v1=v1, v2=v2)) == Gate(state, why)


def test_only_what_takes_traffic_counts_as_ready() -> None:
    ready = replica("ready", "v2")
    for one in (
        replica("b", "v2", ReplicaState.LOADING),
        replica("b", "v2", order=order("v1")),
    ):
        assert gate(50, [ready, one, *serving(v1=1)]).why == "1 of 2 replicas serve v2"
    away = [
        replica("b", "v2", heard=NOW - timedelta(minutes=1)),
        replica("c", "v2", drained=True),
        replica("d", "v2", ReplicaState.DRAINING),
        replace(replica("e", "v2"), flag=FlagKey("other")),
    ]
    assert gate(50, [ready, *away, *serving(v1=1)]) == OPEN


@pytest.mark.parametrize(
    ("share", "numbers"),
    [(100, {"v1": 1, "v2": 2, "v3": 1}), (50, {"v1": 1, "v2": 1, "v3": 1})],
)
def test_no_more_are_waited_for_than_other_variants_leave(
    share: int, numbers: dict[str, int]
) -> None:
    """A rule serves v3, which keeps a replica: the treatment will not be given more."""
    replicas = serving(**numbers)
    assert reassign(replicas, on_the_way(share, (V3,)), POLICY, NOW, {}) == []
    assert gate(share, replicas, kept=(V3,)) == OPEN
    assert gate(share, replicas, kept=()) != OPEN


def test_what_is_only_taken_for_living_is_not_ready() -> None:
    replicas = [*serving(v1=1), replica("b", "v2", spared=True)]
    assert gate(50, replicas).why == "0 of 1 replicas serve v2"


def test_it_says_why_replicas_could_not_load() -> None:
    failed = [replica(f"r{i}", failures=(Failure(V2, 1, NOW, "no memory"),)) for i in range(5)]
    assert gate(5, failed).why == (
        "0 of 1 replicas serve v2; r0: no memory; r1: no memory; r2: no memory"
    )


def test_only_the_beginning_of_a_stage_over_replicas_waits() -> None:
    assert gate(50, [], staged=False) == OPEN
    assert all(gate(50, [], status) == OPEN for status in Status if status is not Status.ENTERING)
