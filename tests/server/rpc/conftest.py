"""A real server on a real store, in the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.stack import free_port
from tidegate_server.bootstrap.server import run_server
from tidegate_server.bootstrap.worker import run_worker
from tidegate_server.settings import Settings


@pytest.fixture
def settings(valkey_url: str, environment: str, tmp_path: Path) -> Settings:
    """Settings of a server of its own, on the tests' store."""
    return Settings(
        redis_url=valkey_url,
        environment=environment,
        listen=f"127.0.0.1:{free_port()}",
        data_dir=tmp_path,
        heartbeat_seconds=0.2,
    )


@pytest_asyncio.fixture
async def channel(settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server that is ready, with a worker beside it."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_server(settings, stop))
        tasks.create_task(run_worker(settings, stop))
        async with grpc.aio.insecure_channel(settings.listen) as opened:
            await serving(opened)
            yield opened
        stop.set()


async def serving(channel: grpc.aio.Channel, service: str = "") -> None:
    """Wait until a service says that it serves."""
    request = health_pb2.HealthCheckRequest(service=service)
    stub: Any = health_pb2_grpc.HealthStub(channel)
    call = stub.Watch(request, wait_for_ready=True)
    async with asyncio.timeout(20):
        async for answer in call:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
    call.cancel()
