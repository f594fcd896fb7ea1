from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.server.controller import scene as scenes
from tests.server.controller.receiver import Receiver, receiving
from tidegate_server.bootstrap.adapters import SystemClock
from tidegate_server.controller.web import Web

SECRET = "a secret of the tests"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An HTTP server that answers as it is told."""
    async with receiving() as made:
        yield made


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A client that signs."""
    async with Web(SECRET, SystemClock()) as made:
        yield made


@pytest.fixture
async def scene(client: Redis, environment: str, web: Web) -> AsyncIterator[scenes.Scene]:
    """A store, and who works with it."""
    async with scenes.scene(client, environment, web) as made:
        yield made
