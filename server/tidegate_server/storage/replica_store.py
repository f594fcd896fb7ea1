"""Replicas in Redis: the port ReplicaStore."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from tidegate_server.domain.checks import unknown
from tidegate_server.domain.replicas.replica import Fleet, Replica, ReplicaId, Report
from tidegate_server.errors import FencedOff, NotFound
from tidegate_server.ports import Fence
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ExperimentKeys, ReplicaKeys
from tidegate_server.storage.replica_codec import (
    decode,
    decode_all,
    encode_orders,
    encode_registration,
    encode_report,
    from_ms,
)

KEPT_SILENT = timedelta(hours=1)
"""For how long a replica is remembered that was not heard of, and the drain of one that left."""

LEAST_PAUSE = 0.1
"""Seconds between two loads of a follower: many changes make one."""

_IDLE_MS = 1_000
_LIBRARY = "replica_fields"
_REGISTER = Script.named("register_replica", _LIBRARY)
_BEAT = Script.named("beat_replica", _LIBRARY)
_DRAIN = Script.named("drain_replica", _LIBRARY)
_FORGET = Script.named("forget_replica", _LIBRARY)
_ORDER = Script.named("order_replicas", _LIBRARY, "fence")
_LOAD = Script.named("load_replicas", _LIBRARY)


class RedisReplicaStore:
    """One environment's replicas, in one hash. All times are the store's own.

    A heartbeat is one script on one field or two; only what is news wakes those who follow.
    """

    def __init__(self, client: Redis, environment: str) -> None:
        self._client = client
        self._keys = ReplicaKeys(environment)
        self._both = [self._keys.replicas, self._keys.changes]
        self._leader = ExperimentKeys(environment).leader

    async def load(self) -> Fleet:
        """Return all replicas, as of one moment.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        return (await self._load())[0]

    async def register(self, replica: Replica) -> Replica:
        """Add a replica, or replace what it says; its order, failures and drain are kept.

        Raises:
            StoreUnavailable: no reply arrived: it may or may not be stored.
        """
        arguments: list[bytes | str | int] = [
            replica.id,
            encode_registration(replica),
            encode_report(replica.report),
            repr(replica.report.load),
            KEPT_SILENT // timedelta(milliseconds=1),
        ]
        _, *fields = await run(self._client, _REGISTER, self._both, arguments)
        return decode(replica.id, fields)

    async def heartbeat(self, replica: ReplicaId, report: Report) -> Replica:
        """Note that a replica lives, and what it says.

        Raises:
            NotFound: there is none by this name.
            StoreUnavailable: no reply arrived: it may or may not be stored.
        """
        return await self._changed(replica, _BEAT, encode_report(report), repr(report.load))

    async def drain(self, replica: ReplicaId, *, undo: bool = False) -> Replica:
        """Take a replica out of traffic, for a person; or put it back, and forget its failures.

        Raises:
            NotFound: there is none by this name.
            StoreUnavailable: no reply arrived: it may or may not be stored.
        """
        return await self._changed(replica, _DRAIN, int(not undo))

    async def deregister(self, replica: ReplicaId) -> None:
        """Forget a replica, if it is there.

        Raises:
            StoreUnavailable: no reply arrived: it may or may not be stored.
        """
        await run(self._client, _FORGET, self._both, [replica])

    async def order(self, replicas: Sequence[Replica], fence: Fence) -> None:
        """Store the orders and failures of these replicas; those that are gone are left out.

        Raises:
            FencedOff: another controller leads; nothing was changed.
            StoreUnavailable: no reply arrived: it may or may not be stored.
        """
        orders = [text for each in replicas for text in (each.id, encode_orders(each))]
        if not await run(self._client, _ORDER, [self._leader, *self._both], [fence, *orders]):
            raise FencedOff(
                f"another controller has led since token {fence} was given out: "
                "what this one orders counts no more"
            )

    async def follow(self, seconds: float) -> AsyncGenerator[Fleet | None, None]:
        """Yield all replicas as they are, anew when one changes, and after `seconds` at the latest.

        None on every idle second.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        loop = asyncio.get_running_loop()
        while True:
            fleet, latest = await self._load()
            ends = loop.time() + seconds
            yield fleet
            await asyncio.sleep(min(LEAST_PAUSE, seconds))
            while (rest := ends - loop.time()) > 0 and not await self._news(latest, rest):
                yield None

    async def _load(self) -> tuple[Fleet, bytes]:
        now_ms, latest, fields = await run(self._client, _LOAD, self._both)
        now = from_ms(now_ms)
        replicas = decode_all(fields)
        kept = {name: one for name, one in replicas.items() if now - one.heard <= KEPT_SILENT}
        return Fleet(now, kept), latest

    async def _news(self, latest: bytes, seconds: float) -> bool:
        """Return as soon as there is a change after `latest`; False if a while passes first."""
        block = max(1, min(_IDLE_MS, round(seconds * 1_000)))
        with store_errors(self._client):
            streams: dict[Any, Any] = {self._keys.changes: latest}
            return bool(await self._client.xread(streams, count=1, block=block))

    async def _changed(
        self, replica: ReplicaId, script: Script, *arguments: bytes | str | int
    ) -> Replica:
        found = await run(self._client, script, self._both, [replica, *arguments])
        if found is None:
            raise NotFound(f"replica {unknown(replica, (await self.load()).replicas)}")
        _, *fields = found
        return decode(replica, fields)
