"""Commits of several processes to one store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from tidegate.model import HoldoutChange, Revision, Snapshot
from tidegate_server.errors import InvalidField, StoreUnavailable
from tidegate_server.services import commits as module
from tidegate_server.services.commits import Commits
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.storage.config_store import RedisConfigStore


class Midnight:
    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC)


async def ignore(_: bool) -> None:
    pass


@asynccontextmanager
async def process(client: Redis, environment: str) -> AsyncIterator[Commits]:
    """One process of several: its own view of the store, kept current."""
    store = RedisConfigStore(client, environment)
    feed = ConfigFeed(store, ignore)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        await feed.ready.wait()
        yield Commits(store, feed, Midnight())
        feed.end()


def add_one(snapshot: Snapshot, revision: Revision, now: datetime) -> HoldoutChange:
    assert now == Midnight().now()
    return HoldoutChange(revision, snapshot.holdout_ppm + 1)


async def test_changes_made_at_once_by_several_processes_are_all_made(
    client: Redis, environment: str
) -> None:
    async with process(client, environment) as one, process(client, environment) as other:
        made = await asyncio.gather(*(each.commit(add_one) for each in [one, other] * 10))
        assert sorted(change.revision for change in made) == list(range(1, 21))
        assert all(change.ppm == change.revision for change in made)


async def test_who_writes_reads_what_was_written(client: Redis, environment: str) -> None:
    async with process(client, environment) as commits:
        change = await commits.commit(add_one)
        assert commits.snapshot == Snapshot(change.revision, holdout_ppm=1)


async def test_a_change_that_is_refused_changes_nothing(client: Redis, environment: str) -> None:
    def refuse(_: Snapshot, __: Revision, ___: datetime) -> HoldoutChange:
        raise InvalidField("share_ppm", "is wrong")

    async with process(client, environment) as commits:
        with pytest.raises(InvalidField):
            await commits.commit(refuse)
        assert (await commits.commit(add_one)).revision == 1


async def test_a_change_that_is_not_confirmed_in_time_says_so(
    client: Redis, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMIT_SECONDS", 0.2)
    store = RedisConfigStore(client, environment)
    commits = Commits(store, ConfigFeed(store, ignore), Midnight())  # nobody follows the store
    with pytest.raises(StoreUnavailable, match=r"not confirmed within 0\.2 s"):
        await commits.commit(add_one)
    assert (await store.load()).revision == 1
