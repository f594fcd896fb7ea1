"""The configuration that a server follows."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.server.storage.samples import flag
from tidegate.model import FlagChange, FlagKey, Revision
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.keys import ConfigKeys

SECONDS = 5.0


def change(revision: int, key: str = "a") -> FlagChange:
    return FlagChange(Revision(revision), FlagKey(key), flag(key, revision))


async def ignore(connected: bool) -> None:
    """Take note of nothing."""


@pytest.fixture
def store(client: Redis, environment: str) -> RedisConfigStore:
    return RedisConfigStore(client, environment)


@pytest.fixture
async def feed(client: Redis, environment: str) -> AsyncIterator[ConfigFeed]:
    feed = ConfigFeed(RedisConfigStore(client, environment), ignore)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        await feed.ready.wait()
        yield feed
        feed.end()


async def test_changes_are_told_in_order_to_those_who_wait(
    feed: ConfigFeed, store: RedisConfigStore
) -> None:
    waiting = asyncio.ensure_future(feed.changes_after(Revision(0), feed.epoch, SECONDS))
    await store.commit(change(1))
    told = await waiting
    assert told is not None
    assert [each.revision for each in told] == [1]
    await store.commit(change(2, "b"))
    await store.commit(change(3, "a"))
    await feed.reach(Revision(3))
    told = await feed.changes_after(Revision(1), feed.epoch, SECONDS)
    assert told is not None
    assert [each.revision for each in told] == [2, 3]
    assert set(feed.snapshot.flags) == {"a", "b"}


async def test_nothing_new_is_an_empty_answer_after_the_wait(feed: ConfigFeed) -> None:
    assert await feed.changes_after(Revision(0), feed.epoch, 0.01) == []


async def test_one_timer_ends_the_wait_of_all(feed: ConfigFeed) -> None:
    waits = [feed.changes_after(Revision(0), feed.epoch, seconds) for seconds in (0.01, 60)]
    assert await asyncio.wait_for(asyncio.gather(*waits), SECONDS) == [[], []]


async def test_who_is_too_far_behind_or_ahead_begins_from_a_snapshot(feed: ConfigFeed) -> None:
    assert await feed.changes_after(Revision(7), feed.epoch, SECONDS) is None
    assert await feed.changes_after(Revision(0), feed.epoch - 1, SECONDS) is None


async def test_a_store_set_back_to_another_course_begins_a_new_epoch(
    feed: ConfigFeed, store: RedisConfigStore, client: Redis, environment: str
) -> None:
    """The same revision may stand for something else after a restore from a backup."""
    await store.commit(change(1, "lost"))
    await feed.reach(Revision(1))
    epoch = feed.epoch
    keys = ConfigKeys(environment)
    await client.delete(keys.revision, keys.resources, keys.changes)
    await store.commit(change(1, "kept"))
    await store.commit(change(2, "kept"))
    told = await feed.changes_after(Revision(1), epoch, SECONDS)
    while told is not None:
        told = await feed.changes_after(Revision(1), epoch, SECONDS)
    assert feed.epoch > epoch
    assert set(feed.snapshot.flags) == {"kept"}


async def test_closing_wakes_those_who_wait(feed: ConfigFeed) -> None:
    waiting = asyncio.ensure_future(feed.changes_after(Revision(0), feed.epoch, 60))
    await asyncio.wait({waiting}, timeout=0.01)
    feed.close()
    assert await asyncio.wait_for(waiting, SECONDS) == []
