"""Replicas, and what is wanted of them."""

from datetime import timedelta
from typing import Any

from tests.server.domain.experiments.samples import NOW
from tidegate.model import PPM, FlagKey, VariantKey
from tidegate_server.domain.replicas.replica import (
    Order,
    Policy,
    Replica,
    ReplicaId,
    ReplicaState,
    Report,
    Step,
)
from tidegate_server.domain.replicas.wanted import Wanted

POLICY = Policy()
BEAT = POLICY.heartbeat
V1, V2, V3 = VariantKey("v1"), VariantKey("v2"), VariantKey("v3")


def replica(
    name: str = "a",
    variant: str = "v1",
    state: ReplicaState = ReplicaState.READY,
    load: float = 0.5,
    problem: str = "",
    **more: Any,
) -> Replica:
    """One that was heard of right now."""
    given: dict[str, Any] = {
        "address": f"{name}:8000",
        "registered": NOW - timedelta(hours=1),
        "heard": NOW,
    } | more
    return Replica(
        id=ReplicaId(name),
        flag=FlagKey("chat-model"),
        report=Report(state, VariantKey(variant), load, problem),
        **given,
    )


def serving(**numbers: int) -> list[Replica]:
    """So many replicas of each variant, which take traffic: v1-0, v1-1 …"""
    return [replica(f"{v}-{i}", v) for v, number in numbers.items() for i in range(number)]


def order(variant: str = "v2", step: Step = Step.LOAD, ago: timedelta = timedelta()) -> Order:
    return Order(VariantKey(variant), step, NOW - ago)


def percent(**shares: float) -> dict[VariantKey, int]:
    return {VariantKey(v): round(share * PPM / 100) for v, share in shares.items() if share}


def wanted(
    coming: dict[VariantKey, int],
    present: dict[VariantKey, int] | None = None,
    base: VariantKey = V1,
    kept: tuple[VariantKey, ...] = (),
) -> Wanted:
    """What a split, or the way to it from another, wants."""
    return Wanted(coming if present is None else present, coming, base, frozenset(kept))
