"""The one place that constructs adapters and joins them into roles."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog
from redis.asyncio import Redis

from tidegate_server.rpc.assignment import AssignmentServicer
from tidegate_server.rpc.events import EventServicer
from tidegate_server.rpc.flags import FlagServicer
from tidegate_server.rpc.reports import ReportServicer
from tidegate_server.rpc.segments import SegmentServicer
from tidegate_server.rpc.server import Health, build
from tidegate_server.services.commits import Commits
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.flags import Flags
from tidegate_server.services.reports import Reports
from tidegate_server.services.segments import Segments
from tidegate_server.settings import Settings
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.worker.loop import Worker

log = structlog.get_logger(__name__)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment."""
        return datetime.now(UTC)


async def run_server(settings: Settings, stop: asyncio.Event) -> None:
    """Serve gRPC until `stop` is set; calls under way are then finished, and streams ended.

    Raises:
        ConfigurationError: the address can't be bound, or the store's URL is wrong.
    """
    async with _store(settings) as client:
        health = Health()
        await health.note_store(connected=False)
        configs = RedisConfigStore(client, settings.environment)
        events = _event_log(client, settings)
        clock = SystemClock()
        feed = ConfigFeed(configs, health.note_store)
        commits = Commits(configs, feed, clock)
        flags = Flags(commits)
        aggregates = RedisAggregateStore(client, settings.environment, settings.shards)
        server = build(
            settings.listen,
            flags=FlagServicer(flags),
            segments=SegmentServicer(Segments(commits)),
            assignments=AssignmentServicer(feed, settings.heartbeat_seconds),
            events=EventServicer(events),
            reports=ReportServicer(flags, Reports(aggregates), clock),
            health=health,
        )
        await server.start()
        log.info("server_started", listen=settings.listen, environment=settings.environment)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(feed.run())
            await stop.wait()
            await health.close()
            feed.close()
            await server.stop(settings.grace_seconds)
            feed.end()
            following.cancel()
        log.info("server_stopped")


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Fold events until `stop` is set; the run under way is then finished."""
    async with _store(settings) as client:
        worker = Worker(
            _event_log(client, settings),
            RedisAggregateStore(client, settings.environment, settings.shards),
        )
        log.info("worker_started", environment=settings.environment, shards=settings.shards)
        await worker.run(stop)
        log.info("worker_stopped")


def _event_log(client: Redis, settings: Settings) -> RedisEventLog:
    return RedisEventLog(
        client,
        settings.environment,
        settings.shards,
        batch_memory=timedelta(hours=settings.batch_memory_hours),
        max_entries=settings.max_stream_entries,
    )


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Redis]:
    client = open_client(settings.redis_url)
    try:
        yield client
    finally:
        await client.aclose()
