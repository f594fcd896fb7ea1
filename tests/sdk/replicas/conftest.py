"""Fixtures: a server with replicas."""

from collections.abc import Iterator

import pytest

from tests.sdk.fake_server import FakeServer
from tests.sdk.replicas.fake_replicas import FakeReplicas, fake_replicas


@pytest.fixture
def fakes() -> Iterator[tuple[FakeServer, FakeReplicas]]:
    with fake_replicas() as both:
        yield both


@pytest.fixture
def server(fakes: tuple[FakeServer, FakeReplicas]) -> FakeServer:
    return fakes[0]


@pytest.fixture
def replicas(fakes: tuple[FakeServer, FakeReplicas]) -> FakeReplicas:
    return fakes[1]
