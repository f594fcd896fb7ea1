"""What is sent again because its reply was lost takes effect once."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.server.storage.lossy import LossyProxy, lossy_proxy
from tests.server.storage.samples import arm, flag
from tidegate.model import FlagChange, FlagKey, Revision
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.domain.events import START, BatchId, Offset, Reader, Shard
from tidegate_server.errors import RevisionConflict
from tidegate_server.ports import Fold
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.event_log import RedisEventLog

ONLY = Shard(0)
CHANGE = FlagChange(Revision(1), FlagKey("chat-model"), flag())


@pytest.fixture
async def proxy(valkey_url: str) -> AsyncIterator[LossyProxy]:
    async with lossy_proxy(valkey_url) as proxy:
        yield proxy


@pytest.fixture
async def lossy(proxy: LossyProxy) -> AsyncIterator[Redis]:
    client = open_client(proxy.url)
    yield client
    await client.aclose()


async def test_a_change_is_committed_once(
    lossy: Redis, proxy: LossyProxy, environment: str
) -> None:
    store = RedisConfigStore(lossy, environment)
    proxy.lose_next_reply()
    await store.commit(CHANGE)
    assert proxy.lost == 1
    assert (await store.load()).revision == 1


async def test_the_loser_of_a_conflict_is_told_so_even_then(
    lossy: Redis, proxy: LossyProxy, client: Redis, environment: str
) -> None:
    """Even where both wanted the same."""
    await RedisConfigStore(client, environment).commit(CHANGE)
    proxy.lose_next_reply()
    with pytest.raises(RevisionConflict):
        await RedisConfigStore(lossy, environment).commit(CHANGE)
    assert proxy.lost == 1


async def test_a_batch_is_appended_once(lossy: Redis, proxy: LossyProxy, environment: str) -> None:
    log = RedisEventLog(lossy, environment, 1)
    proxy.lose_next_reply()
    assert not await log.append(BatchId(bytes(16)), b"payload")
    assert proxy.lost == 1
    assert len(await log.read(ONLY, START, 10)) == 1


async def test_a_reader_advances_once_and_its_offset_tells(
    lossy: Redis, proxy: LossyProxy, environment: str
) -> None:
    log, archive = RedisEventLog(lossy, environment, 1), Reader("archive")
    await log.append(BatchId(bytes(16)), b"payload")
    entries = await log.read(ONLY, START, 10)
    proxy.lose_next_reply()
    assert await log.join(ONLY, archive) == START
    proxy.lose_next_reply()
    assert not await log.advance(ONLY, archive, start=START, entries=entries)
    assert await log.join(ONLY, archive) == entries[0].offset
    proxy.lose_next_reply()
    await log.leave(ONLY, archive)
    assert proxy.lost == 3
    assert await log.join(ONLY, archive) == START


async def test_a_run_is_committed_once_and_the_offset_tells(
    lossy: Redis, proxy: LossyProxy, environment: str
) -> None:
    store = RedisAggregateStore(lossy, environment, 1)
    empty = {arm(): ArmAggregate.empty()}
    run = Fold(start=START, end=Offset("9-0"), size=0, before=empty, after=empty, windows={})
    proxy.lose_next_reply()
    committed = await store.commit(ONLY, run)
    assert proxy.lost == 1
    assert not committed
    assert await store.offset(ONLY) == "9-0"
