"""Two workers on one shard, step by step."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.server.storage.samples import arm, assert_same, message
from tidegate.model import FlagKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.windows import Resolution, Windows
from tidegate_server.domain.events import Arm, BatchId, Events, Shard
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.keys import ShardKeys
from tidegate_server.storage.rejected import RejectedBatches
from tidegate_server.wire.batch import decode_batch
from tidegate_server.worker.fold import fold, fold_windows
from tidegate_server.worker.run import Limits
from tidegate_server.worker.shard import CACHE_SECONDS, ShardFolder

ONLY = Shard(0)
FLAG = FlagKey("chat-model")


@dataclass
class Scene:
    log: RedisEventLog
    store: RedisAggregateStore
    expected: dict[Arm, ArmAggregate] = field(default_factory=dict)

    def folder(self, **options: int) -> ShardFolder:
        cached_arms = options.pop("cached_arms", 10)
        limits = Limits(linger=0, **options)
        return ShardFolder(self.log, self.store, ONLY, limits=limits, cached_arms=cached_arms)

    async def append(self, value: float, of: Arm | None = None) -> None:
        payload = message({"": [1], "latency_ms": [value, 2 * value]}, of=of).SerializeToString()
        batch_id, events = decode_batch(payload)
        await self.log.append(BatchId(batch_id), payload)
        self.expected |= fold(events, self.expected)

    async def check(self) -> None:
        read = await self.store.read(FLAG)
        assert read.keys() == self.expected.keys()
        for each, aggregate in self.expected.items():
            assert_same(read[each], aggregate)


@pytest.fixture
def scene(client: Redis, environment: str) -> Scene:
    return Scene(RedisEventLog(client, environment, 1), RedisAggregateStore(client, environment, 1))


async def test_runs_follow_one_another(scene: Scene, client: Redis, environment: str) -> None:
    folder = scene.folder(entries=2)
    for value in range(1, 6):
        await scene.append(value)
    for expected in (2, 2, 1):
        reading = await folder.read()
        assert len(reading.entries) == expected
        assert await folder.fold(reading)
    await scene.check()
    assert await client.xlen(ShardKeys(environment, ONLY).stream) == 0


async def test_of_two_that_read_the_same_one_folds_it(scene: Scene) -> None:
    await scene.append(1)
    first, second = scene.folder(), scene.folder()
    both = await first.read(), await second.read()
    assert both[0] == both[1]
    assert await first.fold(both[0])
    assert not await second.fold(both[1])
    await scene.append(2)
    assert await second.fold(await second.read())
    await scene.check()


async def test_a_worker_that_slept_takes_up_where_the_other_is(scene: Scene) -> None:
    sleeper, other = scene.folder(), scene.folder()
    await scene.append(1)
    assert await sleeper.fold(await sleeper.read())
    await scene.append(2)
    in_hand = await sleeper.read()
    assert await other.fold(await other.read())
    await scene.append(3)
    assert await other.fold(await other.read())
    assert not await sleeper.fold(in_hand)
    await scene.append(4)
    assert not await other.fold(in_hand), "what was folded is not folded again"
    assert await sleeper.fold(await sleeper.read())
    await scene.check()


async def test_the_rest_of_a_run_that_was_cut_comes_again(scene: Scene) -> None:
    folder = scene.folder(events=3)
    for value in (1, 2, 3):
        await scene.append(value)
    sizes = []
    for _ in range(3):
        reading = await folder.read()
        sizes.append(len(reading.entries))
        assert await folder.fold(reading)
    assert sizes == [3, 2, 1]
    await scene.check()


async def test_arms_that_left_the_cache_are_loaded_again(scene: Scene) -> None:
    folder = scene.folder(cached_arms=1)
    for value in range(1, 9):
        await scene.append(value, arm(f"v{value % 3}"))
        assert await folder.fold(await folder.read())
    await scene.check()


async def test_after_a_doubt_the_store_decides(scene: Scene) -> None:
    folder = scene.folder()
    for value in (1, 2, 3):
        await scene.append(value)
        assert await folder.fold(await folder.read())
        folder.forget()
    await scene.check()


async def test_what_was_read_before_a_doubt_is_folded_once(scene: Scene) -> None:
    folder = scene.folder()
    await scene.append(1)
    reading = await folder.read()
    folder.forget()
    assert await folder.fold(reading)
    folder.forget()
    assert not await folder.fold(reading)
    await scene.check()


async def test_a_batch_that_makes_folding_fail_is_set_aside(
    scene: Scene, client: Redis, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a defect would: the fault has to be made, for no batch is known that does it."""

    def faulty(events: Events) -> dict[tuple[Arm, Resolution], Windows]:
        if 13 in events.value:
            raise ZeroDivisionError("a defect")
        return fold_windows(events)

    monkeypatch.setattr("tidegate_server.worker.shard.fold_windows", faulty)
    await scene.append(1)
    expected = dict(scene.expected)
    await scene.append(13)
    scene.expected = expected
    await scene.append(2)
    folder = scene.folder()
    with capture_logs() as logs:
        assert await folder.fold(await folder.read())
    await scene.check()
    (rejected,) = await RejectedBatches(client, environment, 1).all()
    assert rejected.reason == "ZeroDivisionError: a defect"
    assert [each["event"] for each in logs] == ["batch_set_aside"]
    await scene.append(3)
    assert await folder.fold(await folder.read())
    await scene.check()


async def test_a_defect_that_no_batch_brings_about_is_raised(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(events: Events) -> dict[tuple[Arm, Resolution], Windows]:
        if len(events.value) > 3:
            raise ZeroDivisionError("a defect")
        return fold_windows(events)

    monkeypatch.setattr("tidegate_server.worker.shard.fold_windows", faulty)
    await scene.append(1)
    await scene.append(2)
    folder = scene.folder()
    with pytest.raises(ZeroDivisionError):
        await folder.fold(await folder.read())


async def test_runs_are_apart_while_little_comes(scene: Scene) -> None:
    folder = ShardFolder(
        scene.log, scene.store, ONLY, limits=Limits(entries=3, linger=0.5), cached_arms=10
    )
    await scene.append(1)
    assert await folder.fold(await folder.read())
    await scene.append(2)
    reading = asyncio.create_task(folder.read())
    await scene.append(3)
    both = await reading
    assert len(both.entries) == 2, "what came while it waited is taken along"
    assert await folder.fold(both)
    for value in (4, 5, 6):
        await scene.append(value)
    assert len((await folder.read()).entries) == 3


async def test_a_full_run_does_not_wait(scene: Scene) -> None:
    folder = ShardFolder(
        scene.log, scene.store, ONLY, limits=Limits(entries=2, linger=3_600), cached_arms=10
    )
    for value in (1, 2, 3, 4):
        await scene.append(value)
    for _ in range(2):
        assert await folder.fold(await asyncio.wait_for(folder.read(), 10))
    await scene.check()


async def test_an_arm_that_expired_is_not_remembered(
    scene: Scene, client: Redis, environment: str
) -> None:
    seconds = 0.0
    limits = Limits(linger=0)
    folder = ShardFolder(
        scene.log, scene.store, ONLY, limits=limits, cached_arms=10, clock=lambda: seconds
    )
    await scene.append(1)
    assert await folder.fold(await folder.read())
    keys = ShardKeys(environment, ONLY)
    await client.delete(keys.arm(arm()), keys.units(arm()))
    scene.expected.clear()
    seconds = CACHE_SECONDS + 1
    await scene.append(2)
    assert await folder.fold(await folder.read())
    await scene.check()


async def test_events_from_the_future_are_told_of_and_moved(scene: Scene) -> None:
    batch = message({"latency_ms": [1, 2, 3]})
    batch.time_offsets_ms[:] = [0, 0, 0]
    batch.base_time_ms = int(time.time() * 1000) + 3_600_000
    await scene.log.append(BatchId(batch.batch_id), batch.SerializeToString())
    folder = scene.folder()
    with capture_logs() as logs:
        assert await folder.fold(await folder.read())
    (told,) = [each for each in logs if each["event"] == "clock_skew"]
    assert told["events"] == 3
    assert told["largest_seconds"] == pytest.approx(3_600, abs=10)
    latest_ms = (await scene.store.read(FLAG))[arm()].last_ms
    assert latest_ms == pytest.approx(time.time() * 1000, abs=10_000)
    windows = await scene.store.read_windows(FLAG, Resolution.TEN_SECONDS, 0, 1 << 50)
    assert windows[arm()].index.tolist() == [latest_ms // 10_000]
