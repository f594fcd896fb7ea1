"""Replicas in a real store."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.server.domain.experiments.samples import NOW
from tests.server.domain.replicas.samples import V1, V2, replica
from tidegate.model import FlagKey
from tidegate_server.domain.replicas.replica import (
    Failure,
    Fleet,
    Order,
    Replica,
    ReplicaId,
    ReplicaState,
    Report,
    Step,
)
from tidegate_server.errors import FencedOff, NotFound
from tidegate_server.ports import Fence
from tidegate_server.storage.keys import ReplicaKeys
from tidegate_server.storage.leadership import RedisLeadership
from tidegate_server.storage.replica_store import RedisReplicaStore

A, B = ReplicaId("gpu-1"), ReplicaId("gpu-2")
NOBODY = Fence(0)
ORDER = Order(V2, Step.LOAD, NOW)
FAILURE = Failure(V1, 2, NOW, "no memory – “at all”")
READY = Report(ReplicaState.READY, V1, 0.25)


@pytest.fixture
def store(client: Redis, environment: str) -> RedisReplicaStore:
    return RedisReplicaStore(client, environment)


async def age(client: Redis, environment: str, name: ReplicaId, by: timedelta) -> None:
    """Let a replica have been silent for longer."""
    key, field = ReplicaKeys(environment).replicas, f"b/{name}"
    stored: Any = await client.hget(key, field)
    heard, load = stored.split()
    await client.hset(key, field, b"%d %s" % (int(heard) - by // timedelta(milliseconds=1), load))


async def told(follower: AsyncGenerator[Fleet | None, None]) -> Fleet:
    """Return what a follower is told next, after idle seconds."""
    async for fleet in follower:
        if fleet is not None:
            return fleet
    raise AssertionError("it never ends")


def known(one: Replica, stored: Replica) -> Replica:
    """What was given, with the times that the store set."""
    return replace(one, registered=stored.registered, heard=stored.heard)


async def test_what_registers_is_there(store: RedisReplicaStore) -> None:
    assert (await store.load()).replicas == {}
    one = replica(A, capacity=8, driver_url="http://gpu-1:9000", problem="warm")
    two = replica(B, "", ReplicaState.LOADING, load=0.0, fixed=True)
    stored = await store.register(two)
    assert stored == known(two, stored)
    stored = await store.register(one)
    fleet = await store.load()
    assert list(fleet.replicas) == [A, B]
    assert fleet.replicas[A] == stored == known(one, stored)
    assert timedelta() <= fleet.now - stored.heard < timedelta(seconds=10)
    assert stored.registered == stored.heard
    assert fleet.of(FlagKey("chat-model")) == list(fleet.replicas.values())
    assert fleet.of(FlagKey("other")) == []


async def test_a_heartbeat_says_how_it_is(store: RedisReplicaStore) -> None:
    first = await store.register(replica(A))
    report = Report(ReplicaState.FAILED, V2, 1.5, "no memory")
    stored = await store.heartbeat(A, report)
    assert stored == replace(first, report=report, heard=stored.heard)
    assert stored.heard >= first.heard
    assert (await store.load()).replicas[A] == stored


async def test_who_is_not_known_is_told_so(store: RedisReplicaStore) -> None:
    await store.register(replica(A))
    with pytest.raises(NotFound, match="replica 'gpu-9' is not known; did you mean 'gpu-1'"):
        await store.heartbeat(ReplicaId("gpu-9"), READY)
    with pytest.raises(NotFound, match="replica 'gpu-9' is not known"):
        await store.drain(ReplicaId("gpu-9"))
    await store.deregister(A)
    await store.deregister(A)
    assert (await store.load()).replicas == {}
    with pytest.raises(NotFound, match="known are none"):
        await store.heartbeat(A, READY)


async def test_orders_failures_and_drains_outlive_a_new_start(store: RedisReplicaStore) -> None:
    one = await store.register(replica(A))
    ordered = replace(one, order=ORDER, failures=(FAILURE,))
    await store.order([ordered], NOBODY)
    assert (await store.drain(A)).drained
    again = await store.register(replica(A, address="elsewhere"))
    assert (again.order, again.failures, again.drained) == (ORDER, (FAILURE,), True)
    assert again.registered >= one.registered
    assert (await store.heartbeat(A, READY)).order == ORDER


async def test_orders_for_another_flag_are_none(store: RedisReplicaStore) -> None:
    one = await store.register(replica(A))
    await store.order([replace(one, order=ORDER, failures=(FAILURE,))], NOBODY)
    moved = await store.register(replace(replica(A), flag=FlagKey("other")))
    assert (moved.order, moved.failures) == (None, ())


@pytest.mark.parametrize("drained", [True, False])
async def test_putting_a_replica_back_forgets_what_went_wrong(
    store: RedisReplicaStore, drained: bool
) -> None:
    one = await store.register(replica(A))
    await store.order([replace(one, failures=(FAILURE,))], NOBODY)
    if drained:
        await store.drain(A)
    back = await store.drain(A, undo=True)
    assert (back.drained, back.failures) == (False, ())


async def test_putting_a_replica_back_that_was_not_drained_leaves_its_order(
    store: RedisReplicaStore,
) -> None:
    one = await store.register(replica(A))
    await store.order([replace(one, order=ORDER, failures=(FAILURE,))], NOBODY)
    assert (await store.drain(A, undo=True)).order == ORDER


async def test_a_drain_outlives_a_restart_that_deregisters(
    store: RedisReplicaStore, client: Redis, environment: str
) -> None:
    await store.register(replica(A))
    await store.register(replica(B))
    await store.drain(A)
    for name in (A, B):
        await store.deregister(name)
    assert (await store.load()).replicas == {}
    assert (await store.register(replica(A))).drained
    assert not (await store.register(replica(B))).drained
    assert not (await store.drain(A, undo=True)).drained
    await store.deregister(A)
    assert not (await store.register(replica(A))).drained
    # It is not kept for ever.
    await store.drain(A)
    await store.deregister(A)
    key = ReplicaKeys(environment).replicas
    left: Any = await client.hgetall(key)
    (field,) = [name for name in left if str(A) in str(name)]
    an_hour_ms = timedelta(minutes=61) // timedelta(milliseconds=1)
    await client.hset(key, field, b"%d" % (int(left[field]) - an_hour_ms))
    await store.register(replica(B))
    assert not (await store.register(replica(A))).drained


async def test_only_who_leads_orders(
    store: RedisReplicaStore, client: Redis, environment: str
) -> None:
    leadership = RedisLeadership(client, environment)
    one = await store.register(replica(A))
    ordered = replace(one, order=ORDER)
    first = await leadership.acquire("a", 10)
    assert first is not None
    await store.order([ordered, replica(B, order=ORDER)], first)
    assert (await store.load()).replicas == {A: ordered}
    await leadership.release("a")
    second = await leadership.acquire("b", 10)
    assert second is not None
    with pytest.raises(FencedOff):
        await store.order([one], first)
    assert (await store.load()).replicas == {A: ordered}
    await store.order([one], second)
    assert (await store.load()).replicas == {A: one}


async def test_who_was_silent_for_an_hour_is_forgotten(
    store: RedisReplicaStore, client: Redis, environment: str
) -> None:
    for name in (A, B):
        await store.register(replica(name))
    await age(client, environment, A, timedelta(minutes=61))
    await age(client, environment, B, timedelta(minutes=59))
    assert set((await store.load()).replicas) == {B}
    await store.register(replica("gpu-3"))
    assert set((await store.load()).replicas) == {B, "gpu-3"}
    fields = await client.hkeys(ReplicaKeys(environment).replicas)
    assert not [field for field in fields if str(A) in str(field)]


async def test_followers_hear_of_news_at_once_and_of_loads_in_time(
    store: RedisReplicaStore, client: Redis, environment: str
) -> None:
    follower = RedisReplicaStore(client, environment).follow(60)
    async with asyncio.timeout(10):
        assert (await told(follower)).replicas == {}
        one = await store.register(replica(A))
        assert (await told(follower)).replicas == {A: one}
        waiting = asyncio.ensure_future(told(follower))
        await store.heartbeat(A, replace(one.report, load=0.9))  # no news
        assert not (await asyncio.wait({waiting}, timeout=0.3))[0]
        for change in (
            lambda: store.heartbeat(A, Report(ReplicaState.DRAINING, V1)),
            lambda: store.drain(A),
            lambda: store.order([replace(one, order=ORDER)], NOBODY),
            lambda: store.deregister(A),
        ):
            await change()
            await waiting
            waiting = asyncio.ensure_future(told(follower))
        waiting.cancel()
    await asyncio.wait({waiting})
    quick = store.follow(0.05)
    async with asyncio.timeout(10):
        await store.register(replica(A))
        loads = [0.5]
        while loads[-1] < 0.8:
            loads.append((await told(quick)).replicas[A].report.load)
            await store.heartbeat(A, replace(one.report, load=0.9))
        await quick.aclose()


async def test_many_changes_make_one(
    store: RedisReplicaStore, client: Redis, environment: str
) -> None:
    follower = store.follow(60)
    async with asyncio.timeout(20):
        await told(follower)
        for index in range(100):
            await store.register(replica(f"gpu-{index}"))
        seen = 1
        while len((await told(follower)).replicas) < 100:
            seen += 1
        await follower.aclose()
    assert seen < 50
    assert await client.xlen(ReplicaKeys(environment).changes) < 300
