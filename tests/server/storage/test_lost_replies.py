"""What is sent again because its reply was lost takes effect once."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from tests.server.domain.experiments.samples import NOW, PLAN
from tests.server.storage.lossy import LossyProxy, lossy_proxy
from tests.server.storage.samples import arm, flag
from tidegate.model import FlagChange, FlagKey, Revision
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.domain.events import START, BatchId, Offset, Reader, Shard
from tidegate_server.domain.experiments.records import Action, Decision, Experiment
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.errors import NotFound, RevisionConflict, VersionConflict
from tidegate_server.ports import ExperimentCommit, Fold
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.leadership import RedisLeadership

ONLY = Shard(0)
STEP = ExperimentCommit(
    Experiment(PLAN, State(Status.OBSERVING), 1, NOW, NOW),
    FlagChange(Revision(1), FlagKey("chat-model"), flag()),
    [Decision(NOW, Action.START, "anna", "why not", State(), State(), "canary", 1)],
)
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


async def test_a_step_of_an_experiment_is_committed_once(
    lossy: Redis, proxy: LossyProxy, environment: str
) -> None:
    store = RedisExperimentStore(lossy, environment)
    leadership = RedisLeadership(lossy, environment)
    fence = await leadership.acquire("a", 10)
    proxy.lose_next_reply()
    await store.commit(replace(STEP, fence=fence))
    assert proxy.lost == 1
    assert len(await store.decisions(PLAN.key, 0, 10)) == 1
    assert (await RedisConfigStore(lossy, environment).load()).revision == 1


async def test_a_step_is_recognised_though_others_followed_it(
    lossy: Redis, proxy: LossyProxy, client: Redis, environment: str
) -> None:
    """The reply is lost, and before the step is sent again others are made, by a new leader."""
    store, other = (RedisExperimentStore(each, environment) for each in (lossy, client))
    leadership = RedisLeadership(client, environment)
    fence = await leadership.acquire("a", 10)

    async def others_go_on() -> None:
        await leadership.release("a")
        assert await leadership.acquire("b", 10) == 2
        for version in (2, 3):
            await other.commit(ExperimentCommit(replace(STEP.experiment, version=version)))

    proxy.lose_next_reply(others_go_on)
    await store.commit(replace(STEP, fence=fence))
    assert proxy.lost == 1
    assert (await other.get(PLAN.key)).version == 3
    assert len(await other.decisions(PLAN.key, 0, 10)) == 1


async def test_the_loser_of_a_conflict_about_an_experiment_is_told_so_even_then(
    lossy: Redis, proxy: LossyProxy, client: Redis, environment: str
) -> None:
    await RedisExperimentStore(client, environment).commit(STEP)
    proxy.lose_next_reply()
    with pytest.raises(VersionConflict):
        await RedisExperimentStore(lossy, environment).commit(STEP)
    assert proxy.lost == 1


async def test_an_experiment_is_deleted_once(
    lossy: Redis, proxy: LossyProxy, environment: str
) -> None:
    store = RedisExperimentStore(lossy, environment)
    await store.commit(STEP)
    proxy.lose_next_reply()
    await store.delete(PLAN.key, 1)
    assert proxy.lost == 1
    proxy.lose_next_reply()
    with pytest.raises(NotFound):
        await store.delete(PLAN.key, 1)


async def test_a_lease_is_taken_once(lossy: Redis, proxy: LossyProxy, environment: str) -> None:
    leadership = RedisLeadership(lossy, environment)
    proxy.lose_next_reply()
    assert await leadership.acquire("a", 10) == 1
    assert proxy.lost == 1
