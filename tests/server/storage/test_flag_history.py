"""What a flag said at its revisions, from the store."""

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from tests.server.storage.test_config_store import change
from tidegate.model import FlagKey, HoldoutChange, Revision
from tidegate_server.storage import config_store
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.keys import ConfigKeys

KEY = FlagKey("chat-model")


@pytest.fixture
async def store(client: Redis, environment: str) -> RedisConfigStore:
    """Of ten changes 1, 4, 6 and 9 are of the flag, and 6 deletes it."""
    store = RedisConfigStore(client, environment)
    for revision in range(1, 11):
        if revision in (1, 4, 6, 9):
            await store.commit(change(revision, deletes=revision == 6))
        elif revision == 5:
            await store.commit(HoldoutChange(Revision(5), 10))
        else:
            await store.commit(change(revision, f"other-{revision % 2}"))
    return store


async def history(
    store: RedisConfigStore, at: int | None = None, limit: int = 100, key: str = KEY
) -> list[tuple[int, bool]]:
    """Return each revision, and whether there was a flag."""
    start = None if at is None else Revision(at)
    found = await store.flag_history(FlagKey(key), start, limit)
    for each in found:
        assert each.key == key
        assert each.flag is None or each.flag.revision == each.revision
    return [(each.revision, each.flag is not None) for each in found]


@pytest.mark.parametrize("stretch", [1, 3, 10, 500])
async def test_a_flags_changes_are_found_among_others(
    store: RedisConfigStore, monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    monkeypatch.setattr(config_store, "_STRETCH", stretch)
    assert await history(store) == [(9, True), (6, False), (4, True), (1, True)]
    assert await history(store, at=6) == [(6, False), (4, True), (1, True)]
    assert await history(store, limit=2) == [(9, True), (6, False)]
    assert await history(store, key="none") == []


@pytest.mark.parametrize(
    ("kept_from", "expected"),
    [
        (2, [(9, True), (6, False), (4, True), (1, True)]),  # 4 remembers what 1 said
        (5, [(9, True), (6, False), (4, True)]),
        (7, [(9, True)]),  # before 9 there was none
        (10, [(9, True)]),  # as it is now
    ],
)
async def test_what_was_said_before_the_changes_kept_is_the_last(
    store: RedisConfigStore,
    client: Redis,
    environment: str,
    kept_from: int,
    expected: Sequence[tuple[int, bool]],
) -> None:
    keys = ConfigKeys(environment)
    await client.xtrim(keys.changes, minid=f"{kept_from}-0", approximate=False)
    assert await history(store) == expected
    assert await history(store, at=9) == expected
