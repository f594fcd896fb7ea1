"""Which workers live, in a sorted set of Redis: the port Members."""

from collections.abc import Sequence
from datetime import timedelta

from redis.asyncio import Redis

from tidegate_server.domain.events import WorkerId
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ConfigKeys

SILENCE = timedelta(seconds=3)
"""How long a worker may be silent before its shards go to the others."""

_BEAT = Script.named("beat")


class RedisMembers:
    """The workers of one environment, each with the time of its last beat by the store's clock."""

    def __init__(self, client: Redis, environment: str, *, silence: timedelta = SILENCE) -> None:
        self._client = client
        self._key = ConfigKeys(environment).workers
        self._silence_ms = silence // timedelta(milliseconds=1)

    async def beat(self, worker: WorkerId) -> Sequence[WorkerId]:
        """Note that a worker lives; return all that do, that one included, sorted.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        return await self._run(worker)

    async def living(self) -> Sequence[WorkerId]:
        """Return the workers that live, sorted.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        return await self._run("")

    async def leave(self, worker: WorkerId) -> None:
        """Forget a worker at once.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            await self._client.zrem(self._key, worker)

    async def _run(self, worker: str) -> Sequence[WorkerId]:
        members: list[bytes] = await run(
            self._client, _BEAT, [self._key], [worker, self._silence_ms]
        )
        return sorted(WorkerId(member.decode()) for member in members)
