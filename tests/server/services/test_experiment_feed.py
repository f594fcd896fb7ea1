"""The experiments that a server follows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from tests.server.domain.experiments.samples import NOW, PLAN
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import State
from tidegate_server.ports import ExperimentCommit
from tidegate_server.services.experiment_feed import ExperimentFeed, Told
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.keys import ExperimentKeys

SECONDS = 5.0
OTHER = replace(PLAN, key=ExperimentKey("other"))


@pytest.fixture
def store(client: Redis, environment: str) -> RedisExperimentStore:
    return RedisExperimentStore(client, environment)


@pytest.fixture
async def feed(client: Redis, environment: str) -> AsyncIterator[ExperimentFeed]:
    feed = ExperimentFeed(RedisExperimentStore(client, environment))
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        await feed.ready.wait()
        yield feed
        feed.end()


def experiment(version: int = 1, key: ExperimentKey = PLAN.key) -> Experiment:
    return Experiment(replace(PLAN, key=key), State(), version, NOW, NOW)


async def test_changes_are_told_in_order(feed: ExperimentFeed, store: RedisExperimentStore) -> None:
    told = []
    await store.commit(ExperimentCommit(experiment()))
    told += [Told(PLAN.key, experiment())]
    await feed.reach(1)
    await store.commit(ExperimentCommit(experiment(2)))
    await feed.reach(2)
    await store.delete(PLAN.key, 2)
    told += [Told(PLAN.key, experiment(2)), Told(PLAN.key, None)]
    await feed.reach(3)
    assert await feed.changes_after(0, feed.epoch, SECONDS) == told
    assert feed.experiments == {}


async def test_what_is_there_already_is_known_at_once(
    store: RedisExperimentStore, client: Redis, environment: str
) -> None:
    for key in ("b", "a"):
        await store.commit(ExperimentCommit(experiment(key=ExperimentKey(key))))
    feed = ExperimentFeed(store)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        await feed.ready.wait()
        assert list(feed.experiments) == ["a", "b"]
        feed.end()


async def test_a_store_set_back_begins_a_new_epoch(
    feed: ExperimentFeed, store: RedisExperimentStore, client: Redis, environment: str
) -> None:
    await store.commit(ExperimentCommit(experiment()))
    await feed.reach(1)
    epoch, keys = feed.epoch, ExperimentKeys(environment)
    await client.delete(keys.experiments, keys.versions, keys.count, keys.changes)
    await store.commit(ExperimentCommit(experiment(key=OTHER.key)))
    while await feed.changes_after(1, epoch, SECONDS) is not None:
        pass
    assert feed.epoch > epoch
    assert list(feed.experiments) == [OTHER.key]
