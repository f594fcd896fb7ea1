"""What commands do with the store itself."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tidegate_server.bootstrap.adapters import event_log, open_store
from tidegate_server.domain.diagnosis import Finding, ShardState, judge_shards, judge_store
from tidegate_server.settings import Settings
from tidegate_server.storage.inspection import inspect_store
from tidegate_server.storage.members import RedisMembers
from tidegate_server.storage.rejected import RejectedBatches

T = TypeVar("T")


async def examine(settings: Settings) -> Sequence[Finding]:
    """Return what `tidegate doctor` finds.

    Raises:
        StoreUnavailable: the store can't be reached.
        ConfigurationError: there is no store to reach.
    """
    async with open_store(settings) as client:
        log = event_log(client, settings)
        rejected = RejectedBatches(client, settings.environment, settings.shards)
        living = await RedisMembers(client, settings.environment).living()
        shards = [
            ShardState(
                shard=shard,
                entries=backlog.entries,
                bytes_ahead=backlog.bytes_ahead,
                age_seconds=backlog.age_seconds,
                set_aside=await rejected.count(shard),
            )
            for shard in log.shards
            for backlog in [await log.backlog(shard)]
        ]
        return [
            *judge_store(await inspect_store(client), settings.wait_replicas),
            *judge_shards(shards, len(living), settings.max_stream_mb << 20),
        ]


async def with_rejected(settings: Settings, work: Callable[[RejectedBatches], Awaitable[T]]) -> T:
    """Do something with the batches that workers set aside.

    Raises:
        ConfigurationError: there is no store to reach.
    """
    async with open_store(settings) as client:
        return await work(RejectedBatches(client, settings.environment, settings.shards))
