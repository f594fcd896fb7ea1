import secrets
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from tests.server.storage.samples import arm, message
from tidegate_server.domain.events import FOLD, BatchId, Shard
from tidegate_server.errors import NotFound
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.keys import ShardKeys
from tidegate_server.storage.rejected import RejectedBatches
from tidegate_server.worker.run import Limits
from tidegate_server.worker.shard import ShardFolder

ONLY = Shard(0)


async def fold_all(client: Redis, environment: str) -> None:
    log, store = RedisEventLog(client, environment, 1), RedisAggregateStore(client, environment, 1)
    folder = ShardFolder(log, store, ONLY, limits=Limits(), cached_arms=10)
    while (reading := await folder.read()).entries:
        assert await folder.fold(reading)


async def test_a_poison_batch_is_listed_and_discarded(client: Redis, environment: str) -> None:
    rejected = RejectedBatches(client, environment, 1)
    assert await rejected.all() == []
    log = RedisEventLog(client, environment, 1)
    await log.append(BatchId(secrets.token_bytes(16)), b"poison")
    await fold_all(client, environment)
    (batch,) = await rejected.all()
    assert batch.size == len(b"poison")
    assert abs(batch.time - datetime.now(UTC)) < timedelta(minutes=1)
    assert "EventBatch" in batch.reason
    assert await rejected.count(ONLY) == 1
    await rejected.discard(batch.name)
    assert await rejected.count(ONLY) == 0
    with pytest.raises(NotFound, match=batch.name):
        await rejected.discard(batch.name)


async def test_a_batch_that_is_retried_is_folded_once(client: Redis, environment: str) -> None:
    """As after a fix of what could not fold it."""
    keys = ShardKeys(environment, ONLY)
    payload = message({"latency_ms": [1, 2, 3]}).SerializeToString()
    await client.xadd(keys.rejected, {"o": "1-0", "e": "a defect", "b": payload})
    rejected = RejectedBatches(client, environment, 1)
    (batch,) = await rejected.all()
    assert (batch.reason, batch.size) == ("a defect", len(payload))
    await rejected.retry(batch.name)
    with pytest.raises(NotFound):
        await rejected.retry(batch.name)
    await fold_all(client, environment)
    arms = await RedisAggregateStore(client, environment, 1).read(arm().flag)
    assert int(arms[arm()].outcomes["latency_ms"].cells.count.sum()) == 3
    assert await rejected.all() == []
    backlog = await RedisEventLog(client, environment, 1).backlog(ONLY)
    assert (backlog.entries, backlog.bytes_ahead[FOLD], backlog.age_seconds) == (0, 0, 0)


@pytest.mark.parametrize("name", ["", "0", "0/", "x/1-0", "0/1", "0/-1-0", "0/+", "7/1-0"])
async def test_what_names_no_batch_is_refused(client: Redis, environment: str, name: str) -> None:
    rejected = RejectedBatches(client, environment, 1)
    with pytest.raises(NotFound):
        await rejected.retry(name)
    with pytest.raises(NotFound):
        await rejected.discard(name)
