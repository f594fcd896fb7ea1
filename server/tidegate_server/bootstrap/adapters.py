"""What several roles construct alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from tidegate_server.domain.replicas.replica import Policy
from tidegate_server.settings import Settings
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.event_log import RedisEventLog


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment."""
        return datetime.now(UTC)


def replica_policy(settings: Settings) -> Policy:
    """Return how patient the settings are with replicas."""
    return Policy(
        heartbeat=timedelta(seconds=settings.replica_heartbeat_seconds),
        drain=timedelta(seconds=settings.replica_drain_seconds),
        load=timedelta(seconds=settings.replica_load_seconds),
    )


def aggregate_store(client: Redis, settings: Settings) -> RedisAggregateStore:
    """Return the store's live aggregates."""
    return RedisAggregateStore(
        client,
        settings.environment,
        settings.shards,
        retention=timedelta(days=settings.retention_days),
    )


def event_log(client: Redis, settings: Settings) -> RedisEventLog:
    """Return the store's streams of events."""
    return RedisEventLog(
        client,
        settings.environment,
        settings.shards,
        batch_memory=timedelta(hours=settings.batch_memory_hours),
        max_bytes=settings.max_stream_mb << 20,
        wait_replicas=settings.wait_replicas,
    )


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Redis]:
    """Open a client of the store for the block.

    Raises:
        ConfigurationError: its URL is missing or wrong.
    """
    client = open_client(settings.redis_url)
    try:
        yield client
    finally:
        await client.aclose()
