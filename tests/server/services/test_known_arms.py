"""Which arms a server takes events of, against a real store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from tests.server.services.test_config_feed import ignore
from tests.server.storage.samples import arm, flag
from tidegate.model import FlagChange, FlagKey, Revision, Variant, VariantKey
from tidegate_server.errors import StoreUnavailable
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.known_arms import KnownArms
from tidegate_server.storage.client import open_client
from tidegate_server.storage.config_store import RedisConfigStore


def change(revision: int, *more: str) -> FlagChange:
    """The flag `chat-model` with more variants than v1 and v2."""
    made = flag("chat-model", revision)
    variants = (*made.variants, *(Variant(VariantKey(each), {}) for each in more))
    return FlagChange(Revision(revision), made.key, replace(made, variants=variants))


@pytest.fixture
def store(client: Redis, environment: str) -> RedisConfigStore:
    return RedisConfigStore(client, environment)


@pytest.fixture
async def feed(client: Redis, environment: str) -> AsyncIterator[ConfigFeed]:
    """A feed that follows; what is committed before its first step is in its first load."""
    feed = ConfigFeed(RedisConfigStore(client, environment), ignore)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        yield feed
        feed.end()


async def test_what_is_configured_is_known(store: RedisConfigStore, feed: ConfigFeed) -> None:
    await store.commit(change(1))
    known = KnownArms(store, feed)
    problems = await known.problems([arm("v1"), arm("v9"), arm(flag="other"), None, arm(phase=2)])
    assert problems == [
        "",
        "variant: flag 'chat-model' has no variant 'v9'",
        "flag_key: this environment has no flag 'other'",
        "",
        "phase: 2 is out of range: the environment is at revision 1, and a phase is a revision",
    ]


async def test_what_was_ever_configured_stays_known(
    store: RedisConfigStore, feed: ConfigFeed
) -> None:
    """Its events may have waited on a disk since: a restart of the server changes nothing."""
    known = KnownArms(store, feed)
    assert await known.problems([arm()]) != [""]
    await store.commit(change(1, "v3"))
    await store.commit(change(2, "v4"))
    await store.commit(FlagChange(Revision(3), FlagKey("chat-model"), None))
    await feed.reach(Revision(3))
    assert await known.problems([arm("v3"), arm("v4", phase=3), arm("v5")]) == [
        "",
        "",
        "variant: flag 'chat-model' has no variant 'v5'",
    ]


async def test_a_server_that_lags_behind_refuses_nothing(
    store: RedisConfigStore, client: Redis, environment: str
) -> None:
    """A client may have heard of a change from another server."""
    idle = ConfigFeed(RedisConfigStore(client, environment), ignore)  # nobody runs it
    known = KnownArms(store, idle)
    for revision in range(1, 5):
        await store.commit(change(revision))
        assert await known.problems([arm(phase=revision)]) == [""]
    await store.commit(change(5, "v4"))
    assert await known.problems([arm("v4", phase=5)]) == [""]
    assert await known.problems([arm("v4", phase=6)]) != [""]


async def test_without_a_store_nothing_is_refused_for_good(feed: ConfigFeed) -> None:
    gone = open_client("redis://127.0.0.1:1")
    known = KnownArms(RedisConfigStore(gone, "nowhere"), feed)
    with pytest.raises(StoreUnavailable):
        await known.problems([arm()])
    await gone.aclose()
