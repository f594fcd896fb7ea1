"""However events are put into batches, shards and runs, the store holds the same."""

import secrets
import time

import numpy as np
import pytest
from redis.asyncio import Redis

from tests.server.analysis.test_windows import assert_same as assert_same_windows
from tests.server.storage.samples import arm, bins, series
from tidegate.model import FlagKey
from tidegate.v1 import event_service_pb2
from tidegate_server.analysis.windows import Resolution
from tidegate_server.domain.events import BatchId, Events
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.wire.batch import decode_batch
from tidegate_server.worker.fold import fold, fold_windows
from tidegate_server.worker.run import Limits, join
from tidegate_server.worker.shard import ShardFolder

FLAG = FlagKey("chat-model")
ARMS = [arm("v1"), arm("v2"), arm("v2", phase=2)]
SERIES = [series(outcome, each) for each in ARMS for outcome in ("", "error", "latency_ms")]
SHARDS = 2


def columns(rng: np.random.Generator, number: int) -> list[np.ndarray]:
    """Series, units, times and whole values; one event in ten comes hours late."""
    which = rng.integers(0, len(SERIES), number)
    ago = rng.integers(0, 40_000, number) + (rng.random(number) < 0.1) * rng.integers(
        0, 10**7, number
    )
    values = np.where(which % 3 == 0, 1, rng.integers(-2, 500, number))
    units = rng.integers(0, 2**64, number, dtype=np.uint64)
    return [which, units, int(time.time() * 1000) - 1_000 - ago, values]


def batch(which: np.ndarray, units: np.ndarray, times: np.ndarray, values: np.ndarray) -> bytes:
    return event_service_pb2.EventBatch(
        batch_id=secrets.token_bytes(16),
        series=SERIES,
        base_time_ms=int(times[0]),
        series_indexes=which.tolist(),
        unit_hashes=units.tolist(),
        time_offsets_ms=(times - times[0]).tolist(),
        values=values.tolist(),
    ).SerializeToString()


def all_of(payloads: list[bytes]) -> Events:
    return join([decode_batch(payload)[1] for payload in payloads])


@pytest.mark.parametrize("seed", range(6))
async def test_any_partition_gives_the_same(client: Redis, environment: str, seed: int) -> None:
    """Some runs are refused, because another worker was first, or forgotten in between."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 600))
    data = columns(rng, number)
    order = rng.permutation(number)
    cuts = np.sort(rng.integers(0, number, rng.integers(0, 12)))
    parts = [part for part in np.split(order, cuts) if part.size]
    payloads = [batch(*(column[part] for column in data)) for part in parts]
    log = RedisEventLog(client, environment, SHARDS)
    store = RedisAggregateStore(client, environment, SHARDS)
    for payload in payloads:
        await log.append(BatchId(secrets.token_bytes(16)), payload)
    limits = Limits(entries=int(rng.integers(1, 5)), linger=0)
    for shard in log.shards:
        both = [ShardFolder(log, store, shard, limits=limits, cached_arms=2) for _ in range(2)]
        while (await log.backlog(shard)).entries:
            folder = both[rng.integers(0, 2)]
            await folder.fold(await folder.read())
            if rng.random() < 0.2:
                folder.forget()
    await check(store, all_of(payloads))


async def check(store: RedisAggregateStore, events: Events) -> None:
    """Whole values add up without rounding, and the variances have none to speak of."""
    expected, read = fold(events, {}), await store.read(FLAG)
    assert read.keys() == expected.keys()
    for each, aggregate in expected.items():
        assert np.array_equal(read[each].units, aggregate.units)
        assert read[each].exposures == aggregate.exposures
        assert read[each].outcomes.keys() == aggregate.outcomes.keys()
        for name, outcome in aggregate.outcomes.items():
            found = read[each].outcomes[name]
            assert np.array_equal(found.cells.count, outcome.cells.count)
            assert np.array_equal(found.cells.total, outcome.cells.total)
            np.testing.assert_allclose(found.cells.m2, outcome.cells.m2, rtol=1e-9, atol=1e-6)
            assert bins(found.histogram) == bins(outcome.histogram)
    windows = fold_windows(events)
    for resolution in Resolution:
        stored = await store.read_windows(FLAG, resolution, 0, 1 << 50)
        assert stored.keys() == expected.keys()
        for each, made in stored.items():
            assert_same_windows(made, windows[each, resolution])
            assert made.total.tolist() == windows[each, resolution].total.tolist()
