"""A real server on a real store, and an environment that follows it."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from tests.server.rpc.conftest import channel, settings
from tidegate_server.dashboard import environment as environment_module
from tidegate_server.dashboard import feeds
from tidegate_server.dashboard.api import Api
from tidegate_server.dashboard.environment import Environment
from tidegate_server.settings import Settings

__all__ = ["channel", "settings"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait long: what is asked for again is so at once."""
    monkeypatch.setattr(environment_module, "FAST_SECONDS", 0.02)
    monkeypatch.setattr(environment_module, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(feeds, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(feeds, "LONGEST_PAUSE", 0.1)


@pytest_asyncio.fixture
async def followed(channel: grpc.aio.Channel, settings: Settings) -> AsyncIterator[Environment]:
    """The environment of the server, kept current."""
    environment = Environment(settings.environment, Api(settings.listen))
    running = asyncio.create_task(environment.run())
    yield environment
    running.cancel()
    await asyncio.wait([running])
