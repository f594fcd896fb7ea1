"""Replicas: they register and are heard, people drain them and look at them."""

from collections.abc import Callable

from tidegate.model import FlagKey, JsonObject, Snapshot
from tidegate_server.domain.checks import unknown
from tidegate_server.domain.replicas.checks import check_replica, check_report
from tidegate_server.domain.replicas.replica import Fleet, Replica, ReplicaId, Report, Step
from tidegate_server.errors import NotFound
from tidegate_server.ports import ReplicaStore


class Replicas:
    """An environment's replicas; everything may raise StoreUnavailable.

    snapshot: gives the flags as this process knows them.
    """

    def __init__(self, store: ReplicaStore, snapshot: Callable[[], Snapshot]) -> None:
        self._store = store
        self._snapshot = snapshot

    async def register(self, replica: Replica) -> Replica:
        """Add a replica, or replace what it says of itself.

        Raises:
            InvalidField: it breaks a rule.
            NotFound: there is no such flag.
        """
        check_replica(replica)
        flags = self._snapshot().flags
        if replica.flag not in flags:
            raise NotFound(f"replica.flag_key: flag {unknown(replica.flag, flags)}")
        return await self._store.register(replica)

    async def heartbeat(self, name: ReplicaId, report: Report) -> tuple[Replica, JsonObject | None]:
        """Note that a replica lives; return it, and the value of the variant that it shall load.

        Raises:
            InvalidField: the report breaks a rule.
            NotFound: there is no such replica: it must register.
        """
        check_report(report)
        replica = await self._store.heartbeat(name, report)
        return replica, self._wanted_value(replica)

    async def drain(self, name: ReplicaId, *, undo: bool = False) -> Replica:
        """Take a replica out of traffic, or put it back.

        Raises:
            NotFound: there is no such replica.
        """
        return await self._store.drain(name, undo=undo)

    async def deregister(self, name: ReplicaId) -> None:
        """Forget a replica, if it is there."""
        await self._store.deregister(name)

    async def load(self) -> Fleet:
        """Return all replicas."""
        return await self._store.load()

    def _wanted_value(self, replica: Replica) -> JsonObject | None:
        order, flag = replica.order, self._snapshot().flags.get(FlagKey(replica.flag))
        if order is None or order.step is not Step.LOAD or flag is None:
            return None
        return next((each.value for each in flag.variants if each.key == order.variant), None)
