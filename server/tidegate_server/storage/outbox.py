"""Decisions that are still to be told, in a stream of Redis: the port Outbox."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.ports import Message
from tidegate_server.storage.client import store_errors
from tidegate_server.storage.keys import ExperimentKeys


class RedisOutbox:
    """One environment's messages; commits of experiments put them there."""

    def __init__(self, client: Redis, environment: str) -> None:
        self._client = client
        self._key = ExperimentKeys(environment).outbox

    async def pending(self, limit: int) -> Sequence[Message]:
        """Return the oldest messages that are not done.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            entries: Any = await self._client.xrange(self._key, count=limit)
        return [
            Message(
                id=entry.decode(),
                experiment=ExperimentKey(fields[b"k"].decode()),
                number=int(fields[b"n"]),
                target=int(fields[b"t"]),
            )
            for entry, fields in entries
        ]

    async def done(self, message: Message) -> None:
        """Forget a message: it was delivered, or given up.

        Raises:
            StoreUnavailable: the store can't be reached; it may come again.
        """
        with store_errors(self._client):
            await self._client.xdel(self._key, message.id)
