"""What a flag takes in the store: bounded, however many units there are (docs/aggregates.md).

Histograms have as many bins as the values' range has, which the rarest values widen, and counts of
1, 2 or 4 bytes.
"""

import time
from collections import Counter

import numpy as np
import pytest
from redis.asyncio import Redis

from tests.server.storage.samples import arm
from tidegate_server.analysis.windows import merge_windows
from tidegate_server.domain.events import Events, Offset, Series, Shard
from tidegate_server.ports import Fold
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.worker.fold import fold, fold_windows

ONLY = Shard(0)
ARMS = [arm("v1"), arm("v2")]
SERIES = tuple(Series(each, outcome) for each in ARMS for outcome in ("", "error", "latency_ms"))
RUN = 100_000


def events(rng: np.random.Generator, start_ms: int) -> Events:
    """As many units as events, within ten minutes: latencies over a factor of a thousand."""
    which = rng.integers(0, len(SERIES), RUN)
    values = np.choose(
        which % 3,
        [np.ones(RUN), rng.random(RUN) < 0.02, np.clip(rng.lognormal(5, 0.8, RUN), 5, 5_000)],
    )
    return Events(
        SERIES,
        which,
        rng.integers(0, 2**64, RUN, dtype=np.uint64),
        start_ms + rng.integers(0, 600_000, RUN),
        values.astype(np.float64),
        {},
    )


async def fold_units(store: RedisAggregateStore, units: int) -> None:
    rng = np.random.default_rng(1)
    start_ms = int(time.time()) // 3600 * 3_600_000 - 3_600_000
    for run in range(units // RUN):
        part = events(rng, start_ms)
        added = fold_windows(part)
        stored = await store.load_windows(ONLY, added)
        before = {each: await store.load(ONLY, each) for each in ARMS}
        change = Fold(
            start=await store.offset(ONLY),
            end=Offset(f"{start_ms + run}-0"),
            size=0,
            before=before,
            after=fold(part, before),
            windows={each: merge_windows([stored[each], added[each]]) for each in added},
        )
        assert await store.commit(ONLY, change)


async def memory(client: Redis, environment: str) -> Counter[str]:
    """Bytes in the store by kind of key."""
    taken: Counter[str] = Counter()
    async for key in client.scan_iter(f"*{environment}*"):
        taken[key.decode().split(":")[3]] += await client.memory_usage(key, samples=0) or 0
    return taken


async def grown(client: Redis, environment: str, units: int) -> tuple[Counter[str], Counter[str]]:
    few, many = f"{environment}-few", f"{environment}-many"
    await fold_units(RedisAggregateStore(client, few, 1), 100_000)
    await fold_units(RedisAggregateStore(client, many, 1), units)
    return await memory(client, few), await memory(client, many)


async def test_ten_times_the_units_take_no_more(client: Redis, environment: str) -> None:
    few, many = await grown(client, environment, 1_000_000)
    assert many["units"] == pytest.approx(few["units"], rel=0.05)
    assert many.total() <= 1.1 * few.total()


@pytest.mark.slow
async def test_a_hundred_times_the_units_take_hardly_more(client: Redis, environment: str) -> None:
    few, many = await grown(client, environment, 10_000_000)
    assert many["units"] == pytest.approx(few["units"], rel=0.05)
    assert many.total() <= 1.2 * few.total()
