"""Which arms a server takes events of, against a real store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from redis.asyncio import Redis

from tests.server.services.test_config_feed import ignore
from tests.server.storage.samples import arm, flag
from tidegate.model import FlagChange, FlagKey, Revision, Variant, VariantKey
from tidegate_server.domain.events import Arm, Series
from tidegate_server.domain.intake import Columns, Dictionary, Sent, SentDropped, SentSeries
from tidegate_server.errors import StoreUnavailable
from tidegate_server.services import known_arms
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.known_arms import KnownArms
from tidegate_server.storage.client import open_client
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.keys import ConfigKeys


def change(revision: int, *more: str) -> FlagChange:
    """The flag `chat-model` with more variants than v1 and v2."""
    made = flag("chat-model", revision)
    variants = (*made.variants, *(Variant(VariantKey(each), {}) for each in more))
    return FlagChange(Revision(revision), made.key, replace(made, variants=variants))


def sent_about(*arms: Arm) -> Sent:
    """A batch without events whose dictionary has a series of each of these arms."""
    series = tuple(SentSeries(each, Series(each, "rating")) for each in arms)
    none = np.empty(0)
    columns = Columns(
        none.astype(np.uint32), none.astype(np.uint64), 0, none.astype(np.int32), none
    )
    return Sent(Dictionary.of(series), (), columns)


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


async def test_a_dictionary_is_known_until_the_next_change(
    store: RedisConfigStore, feed: ConfigFeed, client: Redis, environment: str
) -> None:
    await store.commit(change(1, "v3"))
    await feed.ready.wait()
    known = KnownArms(store, feed)
    sent = sent_about(arm("v1"), arm("v3"))
    assert await known.problems_of(sent) == ["", ""]
    await client.delete(ConfigKeys(environment).history)
    assert await known.problems_of(sent) == ["", ""]
    await store.commit(change(2))
    await feed.reach(Revision(2))
    assert await known.problems_of(sent) == ["", "variant: flag 'chat-model' has no variant 'v3'"]


async def test_what_is_not_known_is_asked_again(store: RedisConfigStore, feed: ConfigFeed) -> None:
    await store.commit(change(1))
    await feed.ready.wait()
    known = KnownArms(store, feed)
    sent = sent_about(arm("v1"), arm("v3"))
    for _ in range(2):
        assert await known.problems_of(sent) == [
            "",
            "variant: flag 'chat-model' has no variant 'v3'",
        ]


async def test_dropped_events_of_a_known_dictionary_are_looked_at(
    store: RedisConfigStore, feed: ConfigFeed
) -> None:
    await store.commit(change(1))
    await feed.ready.wait()
    known = KnownArms(store, feed)
    sent = sent_about(arm("v1"))
    assert await known.problems_of(sent) == [""]
    lost = replace(sent, dropped=(SentDropped(arm("v3"), 1),))
    assert await known.problems_of(lost) == ["", "variant: flag 'chat-model' has no variant 'v3'"]


async def test_dictionaries_that_are_remembered_are_bounded(
    store: RedisConfigStore, feed: ConfigFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_arms, "MOST_REMEMBERED", 3)
    await store.commit(change(1))
    await feed.ready.wait()
    known = KnownArms(store, feed)
    for _ in range(10):
        assert await known.problems_of(sent_about(arm("v1"))) == [""]
        assert len(known._known) <= 3


async def test_without_a_store_nothing_is_refused_for_good(feed: ConfigFeed) -> None:
    gone = open_client("redis://127.0.0.1:1")
    known = KnownArms(RedisConfigStore(gone, "nowhere"), feed)
    with pytest.raises(StoreUnavailable):
        await known.problems([arm()])
    await gone.aclose()
