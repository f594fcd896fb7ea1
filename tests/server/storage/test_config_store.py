import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from redis.asyncio import Redis

from tests.server.storage.samples import flag
from tidegate.model import (
    Change,
    FlagChange,
    FlagKey,
    HoldoutChange,
    Revision,
    Segment,
    SegmentChange,
    SegmentKey,
)
from tidegate_server.errors import NotFound, RevisionConflict
from tidegate_server.storage import config_store
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.keys import ConfigKeys


@pytest.fixture
def store(client: Redis, environment: str) -> RedisConfigStore:
    return RedisConfigStore(client, environment)


@pytest.fixture
def keys(environment: str) -> ConfigKeys:
    return ConfigKeys(environment)


def change(revision: int, key: str = "chat-model", *, deletes: bool = False) -> FlagChange:
    value = None if deletes else flag(key, revision)
    return FlagChange(Revision(revision), FlagKey(key), value)


async def test_an_environment_begins_empty(store: RedisConfigStore) -> None:
    snapshot = await store.load()
    assert snapshot.revision == 0
    assert snapshot.flags == {}


async def test_what_is_committed_is_loaded(store: RedisConfigStore) -> None:
    await store.commit(change(1, "b"))
    await store.commit(change(2, "a"))
    await store.commit(change(3, "c"))
    await store.commit(change(4, "c", deletes=True))
    snapshot = await store.load()
    assert snapshot.revision == 4
    assert list(snapshot.flags) == ["a", "b"]
    assert snapshot.flags[FlagKey("b")] == flag("b", 1)


@pytest.mark.parametrize("revision", [1, 2, 4, 5])
async def test_a_commit_from_another_revision_changes_nothing(
    store: RedisConfigStore, revision: int
) -> None:
    await store.commit(change(1))
    await store.commit(change(2))
    with pytest.raises(RevisionConflict, match=f"revision 2, not {revision - 1}"):
        await store.commit(change(revision, "other"))
    snapshot = await store.load()
    assert snapshot.revision == 2
    assert list(snapshot.flags) == ["chat-model"]


async def test_of_many_commits_at_once_one_succeeds(store: RedisConfigStore) -> None:
    outcomes = await asyncio.gather(
        *(store.commit(change(1, f"flag-{i}")) for i in range(20)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(each, RevisionConflict) for each in outcomes) == 19
    assert len((await store.load()).flags) == 1


async def test_environments_are_apart(client: Redis, store: RedisConfigStore) -> None:
    await store.commit(change(1))
    assert (await RedisConfigStore(client, "another").load()).revision == 0


async def test_changes_come_once_and_in_order(store: RedisConfigStore) -> None:
    await store.commit(change(1, "a"))
    await store.commit(change(2, "b"))
    await store.commit(change(3, "a", deletes=True))
    async with aclosing(store.changes(Revision(1))) as changes:
        assert await anext(changes) == change(2, "b")
        assert await anext(changes) == change(3, "a", deletes=True)


async def test_a_change_wakes_a_reader_that_waits(store: RedisConfigStore) -> None:
    async with aclosing(store.changes(Revision(0))) as changes:
        waiting = asyncio.create_task(next_change(changes))
        await store.commit(change(1))
        assert await waiting == change(1)


async def test_an_idle_while_yields_none(store: RedisConfigStore) -> None:
    await store.commit(change(1))
    async with aclosing(store.changes(Revision(1))) as changes:
        assert await anext(changes) is None


async def test_more_changes_than_one_reading_takes(store: RedisConfigStore) -> None:
    for revision in range(1, 251):
        await store.commit(change(revision))
    async with aclosing(store.changes(Revision(0))) as changes:
        revisions = [(await next_change(changes)).revision for _ in range(250)]
    assert revisions == list(range(1, 251))


async def test_trimmed_history_asks_for_another_load(
    store: RedisConfigStore, client: Redis, keys: ConfigKeys
) -> None:
    for revision in range(1, 6):
        await store.commit(change(revision))
    await client.xtrim(keys.changes, minid="4-0", approximate=False)
    async with aclosing(store.changes(Revision(2))) as changes:
        with pytest.raises(RevisionConflict, match="above revision 2 are no longer kept"):
            await anext(changes)
    async with aclosing(store.changes(Revision(3))) as changes:
        assert (await next_change(changes)).revision == 4
    await client.xtrim(keys.changes, maxlen=0, approximate=False)
    async with aclosing(store.changes(Revision(3))) as changes:
        with pytest.raises(RevisionConflict, match="no longer kept"):
            await anext(changes)


async def test_history_is_bounded(
    store: RedisConfigStore, client: Redis, keys: ConfigKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_store, "KEPT_CHANGES", 10)
    for revision in range(1, 301):
        await store.commit(change(revision))
    assert await client.xlen(keys.changes) < 150  # trimmed by whole nodes of 100


async def test_a_store_set_back_asks_for_another_load(
    store: RedisConfigStore, client: Redis, keys: ConfigKeys
) -> None:
    for revision in range(1, 4):
        await store.commit(change(revision))
    async with aclosing(store.changes(Revision(3))) as changes:
        await client.delete(keys.revision, keys.resources, keys.changes)
        with pytest.raises(RevisionConflict, match="set back from revision 3"):
            await next_change(changes)


async def test_a_store_set_back_and_moved_on_asks_for_another_load(
    store: RedisConfigStore, client: Redis, keys: ConfigKeys
) -> None:
    """Revision 2 is lost with its machine, and another revision 2 is made."""
    await store.commit(change(1))
    await store.commit(change(2, "lost"))
    revision = (await store.load()).revision
    async with aclosing(store.changes(revision)) as changes:
        await client.delete(keys.revision, keys.resources, keys.changes)
        await store.commit(change(1))
        await store.commit(change(2, "kept"))
        with pytest.raises(RevisionConflict, match="set back from revision 2"):
            await next_change(changes)


def segment(key: str, revision: int, *units: str) -> Segment:
    return Segment(SegmentKey(key), Revision(revision), included=frozenset(units))


def every_kind_of_change() -> list[Change]:
    """Flags and segments made, changed and deleted, and two holdouts, in revisions 1 to 9."""
    testers = SegmentKey("testers")
    return [
        change(1, "a"),
        change(2, "b"),
        SegmentChange(Revision(3), testers, segment("testers", 3, "anna")),
        HoldoutChange(Revision(4), 50_000),
        change(5, "a"),
        SegmentChange(Revision(6), testers, segment("testers", 6, "anna", "bert")),
        change(7, "b", deletes=True),
        SegmentChange(Revision(8), testers, None),
        HoldoutChange(Revision(9), 0),
    ]


async def test_every_kind_of_change_is_loaded_and_read(store: RedisConfigStore) -> None:
    snapshot, committed = await store.load(), every_kind_of_change()
    for each in committed:
        await store.commit(each)
        snapshot = snapshot.after(each)
        assert await store.load() == snapshot
    async with aclosing(store.changes(Revision(0))) as changes:
        assert [await next_change(changes) for _ in committed] == committed


async def test_every_earlier_revision_can_be_looked_at(store: RedisConfigStore) -> None:
    snapshot = await store.load()
    past = [snapshot]
    for each in every_kind_of_change():
        await store.commit(each)
        snapshot = snapshot.after(each)
        past.append(snapshot)
    for revision, expected in enumerate(past):
        assert await store.load_past(Revision(revision)) == expected
    assert await store.load() == past[-1]


async def test_a_revision_that_is_yet_to_come_is_not_found(store: RedisConfigStore) -> None:
    await store.commit(change(1))
    with pytest.raises(NotFound, match=r"revision 2 is not there yet: .* at revision 1"):
        await store.load_past(Revision(2))


async def test_a_revision_whose_changes_are_trimmed_is_not_found(
    store: RedisConfigStore, client: Redis, keys: ConfigKeys
) -> None:
    for revision in range(1, 6):
        await store.commit(change(revision))
    await client.xtrim(keys.changes, minid="4-0", approximate=False)
    assert (await store.load_past(Revision(3))).flags == {"chat-model": flag("chat-model", 3)}
    with pytest.raises(NotFound, match=r"revision 2 is no longer known: .* give 3 to 5"):
        await store.load_past(Revision(2))


async def next_change(changes: AsyncIterator[Change | None]) -> Change:
    while (found := await anext(changes)) is None:
        pass
    return found
