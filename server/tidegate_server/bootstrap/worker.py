"""The role `worker`."""

import asyncio

import structlog

from tidegate_server.bootstrap.adapters import aggregate_store, event_log, open_store
from tidegate_server.settings import Settings
from tidegate_server.signals.backlogs import Backlogs
from tidegate_server.signals.http import serving_metrics
from tidegate_server.signals.metrics import registry_of
from tidegate_server.storage.members import RedisMembers
from tidegate_server.worker.loop import Worker

log = structlog.get_logger(__name__)


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Fold events until `stop` is set; the run under way is then finished."""
    async with open_store(settings) as client:
        backlogs = Backlogs()
        worker = Worker(
            event_log(client, settings),
            aggregate_store(client, settings),
            RedisMembers(client, settings.environment),
            backlogs=backlogs,
        )
        log.info("worker_started", environment=settings.environment, shards=settings.shards)
        metrics = registry_of("worker", settings.environment, backlogs)
        async with serving_metrics(settings.metrics_address, metrics):
            await worker.run(stop)
        log.info("worker_stopped")
