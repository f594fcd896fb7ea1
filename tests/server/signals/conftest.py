"""A server with metrics, in the test's own event loop, and a worker beside it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from tests.e2e.stack import free_port
from tests.server.rpc.conftest import serving
from tests.server.signals.scraping import Samples, scrape
from tidegate_server.bootstrap.server import run_server
from tidegate_server.bootstrap.worker import run_worker
from tidegate_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Roles:
    """A server and a worker, by the addresses of their metrics, and a channel to the server."""

    settings: Settings
    worker_metrics: str
    channel: grpc.aio.Channel

    async def server(self) -> Samples:
        assert self.settings.metrics_address is not None
        return await scrape(self.settings.metrics_address)

    async def worker(self) -> Samples:
        return await scrape(self.worker_metrics)


@pytest.fixture
def settings(valkey_url: str, environment: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=valkey_url,
        environment=environment,
        listen=f"127.0.0.1:{free_port()}",
        metrics_listen=f"127.0.0.1:{free_port()}",
        metrics_flags=2,
        data_dir=tmp_path,
        heartbeat_seconds=0.2,
    )


@pytest_asyncio.fixture
async def roles(settings: Settings) -> AsyncIterator[Roles]:
    stop = asyncio.Event()
    worker_metrics = f"127.0.0.1:{free_port()}"
    for_worker = settings.model_copy(update={"metrics_listen": worker_metrics})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_server(settings, stop))
        tasks.create_task(run_worker(for_worker, stop))
        async with grpc.aio.insecure_channel(settings.listen) as channel:
            await serving(channel)
            yield Roles(settings, worker_metrics, channel)
        stop.set()
