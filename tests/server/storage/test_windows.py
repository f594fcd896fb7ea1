"""Windows and retention in the store."""

import time
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from tests.server.analysis.test_windows import assert_same
from tests.server.storage.samples import arm, fold_of, random_arm
from tidegate.model import FlagKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.windows import (
    Resolution,
    Windows,
    empty_windows,
    merge_windows,
    roll_up,
    windows_of,
)
from tidegate_server.domain.events import Arm, Shard
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.keys import ShardKeys

FLAG = FlagKey("chat-model")
FIRST, SECOND = Shard(0), Shard(1)
ARM, OTHER = arm(), arm("v2", phase=2)
SOME = random_arm(np.random.default_rng(1), [])
DAY_MS = 24 * 3_600_000
NOW_MS = int(time.time() * 1000)
END = f"{NOW_MS}-0"
HOUR = NOW_MS // 3_600_000 - 2
START_MS = HOUR * 3_600_000
"""The beginning of a full hour that is over."""

AllWindows = dict[tuple[Arm, Resolution], Windows]


@pytest.fixture
def store(client: Redis, environment: str) -> RedisAggregateStore:
    return RedisAggregateStore(client, environment, 2)


def windows(*times_ms: int, of: Arm = ARM, value: float = 5.0) -> AllWindows:
    """An event of two outcomes at each of these times, in windows of all resolutions."""
    made = windows_of(
        ("error", "latency_ms"),
        np.repeat([0, 1], len(times_ms)),
        np.array(times_ms * 2, np.int64),
        np.repeat([0.0, value], len(times_ms)),
    )
    return {(of, resolution): roll_up(made, resolution) for resolution in Resolution}


def keys(environment: str) -> ShardKeys:
    return ShardKeys(environment, FIRST)


@pytest.mark.parametrize(
    ("first", "end"),
    [(0, 2), (5, 6), (-1, 1), (359, 361), (0, 360), (-400, 760), (1, 1), (100, 200)],
)
async def test_windows_are_read_by_range_over_all_shards(
    store: RedisAggregateStore, first: int, end: int
) -> None:
    """Within a chunk of 360, over the border of two, and whole chunks."""
    places = (-1, 0, 1, 5, 358, 359, 360, 700)
    times = [START_MS + 10_000 * place + 3 for place in places]
    await store.commit(FIRST, fold_of({ARM: SOME, OTHER: SOME}, end=END, windows=windows(*times)))
    await store.commit(SECOND, fold_of({ARM: SOME}, end=END, windows=windows(*times, value=9.0)))
    start_ms, end_ms = START_MS + 10_000 * first, START_MS + 10_000 * end
    read = await store.read_windows(FLAG, Resolution.TEN_SECONDS, start_ms, end_ms)
    inside = [at for at, place in zip(times, places, strict=True) if first <= place < end]
    if not inside:
        assert read == {}
        return
    assert read.keys() == {ARM}
    both = [windows(*inside), windows(*inside, value=9.0)]
    expected = merge_windows([each[ARM, Resolution.TEN_SECONDS] for each in both])
    assert_same(read[ARM], expected)


async def test_each_resolution_is_read_back(store: RedisAggregateStore) -> None:
    made = windows(START_MS, START_MS + 61_000, START_MS + 2 * 3_600_000)
    await store.commit(FIRST, fold_of({ARM: SOME}, end=END, windows=made))
    for resolution in Resolution:
        read = await store.read_windows(FLAG, resolution, 0, NOW_MS + DAY_MS)
        assert_same(read[ARM], made[ARM, resolution])
        later = ARM.phase + 1
        assert not await store.read_windows(FLAG, resolution, 0, NOW_MS, first_phase=later)


async def test_only_the_windows_asked_for_are_loaded(store: RedisAggregateStore) -> None:
    stored = windows(START_MS, START_MS + 10_000)
    await store.commit(FIRST, fold_of({ARM: SOME}, end=END, windows=stored))
    wanted = windows(START_MS + 10_000, START_MS + 20_000) | windows(START_MS, of=OTHER)
    loaded = await store.load_windows(FIRST, wanted)
    ten = Resolution.TEN_SECONDS
    assert_same(loaded[ARM, ten], windows(START_MS + 10_000)[ARM, ten])
    assert_same(loaded[ARM, Resolution.HOUR], stored[ARM, Resolution.HOUR])
    assert_same(loaded[OTHER, ten], empty_windows(ten))
    assert await store.load_windows(FIRST, {}) == {}


async def test_windows_expire_after_their_chunk(
    store: RedisAggregateStore, client: Redis, environment: str
) -> None:
    await store.commit(FIRST, fold_of({ARM: SOME}, end=END, windows=windows(START_MS)))
    lengths = {Resolution.TEN_SECONDS: 1, Resolution.MINUTE: 24, Resolution.HOUR: 720}
    kept_days = {Resolution.TEN_SECONDS: 1, Resolution.MINUTE: 7, Resolution.HOUR: 400}
    for resolution, hours in lengths.items():
        chunk = HOUR // hours
        expires = await client.pexpiretime(keys(environment).windows(ARM, resolution, chunk))
        assert expires == (chunk + 1) * hours * 3_600_000 + kept_days[resolution] * DAY_MS


@pytest.mark.parametrize(("days", "kept"), [(0, "10s 1m 1h"), (3, "1m 1h"), (9, "1h"), (450, "")])
async def test_what_is_past_its_retention_is_not_written(
    store: RedisAggregateStore, client: Redis, environment: str, days: int, kept: str
) -> None:
    late = windows(START_MS - days * DAY_MS)
    await store.commit(FIRST, fold_of({ARM: SOME}, end=END, windows=late))
    names = [key.decode() async for key in client.scan_iter(f"*{environment}*:windows:*")]
    found = [name.split(":")[-2] for name in names]
    assert sorted(found) == sorted(kept.split())
    assert (await store.read(FLAG)).keys() == {ARM}, "the aggregate counts it all the same"


async def test_an_arm_is_kept_for_so_long_after_its_latest_event(
    client: Redis, environment: str
) -> None:
    store = RedisAggregateStore(client, environment, 1, retention=timedelta(days=30))
    own = keys(environment)
    names = [own.arm(ARM), own.units(ARM), own.arms(FLAG)]
    await store.commit(FIRST, fold_of({ARM: SOME}, windows=windows(START_MS)))
    for name in names:
        await client.pexpire(name, 1_000_000)
    more = random_arm(np.random.default_rng(2), [])
    await store.commit(FIRST, fold_of({ARM: more}, start="1-0", end="2-0", before={ARM: SOME}))
    for name in names:
        assert await client.pttl(name) == pytest.approx(30 * DAY_MS, abs=60_000)
    hours = await client.pexpiretime(own.windows(ARM, Resolution.HOUR, HOUR // 720))
    assert hours == (HOUR // 720 + 1) * 30 * DAY_MS + 30 * DAY_MS


async def test_arms_that_expired_are_neither_read_nor_remembered(
    client: Redis, environment: str
) -> None:
    store, own = RedisAggregateStore(client, environment, 1), keys(environment)
    await store.commit(FIRST, fold_of({ARM: SOME}))
    await client.delete(own.arm(ARM), own.units(ARM))
    assert await store.read(FLAG) == {}
    assert await store.read_windows(FLAG, Resolution.HOUR, 0, NOW_MS) == {}
    await client.zadd(own.arms(FLAG), {"1:v1": NOW_MS - 1})
    await store.commit(FIRST, fold_of({OTHER: SOME}, start="1-0", end="2-0"))
    assert await client.zrange(own.arms(FLAG), 0, -1) == [b"2:v2"]
    assert (await store.read(FLAG)).keys() == {OTHER}


async def test_a_bitmap_takes_its_own_length(
    store: RedisAggregateStore, client: Redis, environment: str
) -> None:
    """A string that grows byte by byte would take twice as much."""
    units = np.zeros_like(SOME.units)
    units[3, 7] = 1
    few = ArmAggregate(units, 1, 0, 5, 5, {})
    await store.commit(FIRST, fold_of({ARM: few}))
    assert np.array_equal((await store.load(FIRST, ARM)).units, units)
    taken: Any = await client.memory_usage(keys(environment).units(ARM))
    assert units.size <= taken <= units.size + 1_000
