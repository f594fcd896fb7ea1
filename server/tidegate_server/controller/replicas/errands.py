"""What drivers are asked for: beside the ticks, until it is done, fails, or is not wanted more."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from tidegate.backoff import Backoff
from tidegate.model import JsonObject
from tidegate_server.controller.replicas.driver import Driver
from tidegate_server.controller.web import Answer
from tidegate_server.domain.replicas.progress import Driven
from tidegate_server.domain.replicas.replica import Order, Replica, ReplicaId

log = structlog.get_logger(__name__)

AGAIN = Backoff(first=0.5, longest=10.0)
"""Pauses between attempts."""


@dataclass
class _Errand:
    """One order that a driver carries out. driven: what it says of it so far."""

    order: Order
    driven: Driven = field(default_factory=Driven)
    task: asyncio.Task[None] | None = None


class Errands:
    """The errands under way, one for a replica; they belong to one leader."""

    def __init__(self, driver: Driver, again: Backoff = AGAIN) -> None:
        self._driver = driver
        self._again = again
        self._errands: dict[ReplicaId, _Errand] = {}

    def driven(self, replicas: Iterable[Replica]) -> Mapping[ReplicaId, Driven]:
        """Return what drivers say of the orders of these replicas."""
        return {
            each.id: errand.driven
            for each in replicas
            if (errand := self._errands.get(each.id)) is not None and errand.order == each.order
        }

    def keep(self, wanted: Mapping[Replica, JsonObject]) -> None:
        """Run the errands of these replicas, each ordered to load the variant of a value."""
        orders = {each.id: each.order for each in wanted}
        for name, errand in list(self._errands.items()):
            if orders.get(name) != errand.order:
                self._end(name)
        for replica, value in wanted.items():
            if replica.id not in self._errands and replica.order is not None:
                errand = self._errands[replica.id] = _Errand(replica.order)
                errand.task = asyncio.create_task(self._run(replica, errand, value))

    async def stop(self) -> None:
        """End all errands."""
        tasks = [each.task for each in self._errands.values() if each.task is not None]
        self.keep({})
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, name: ReplicaId) -> None:
        task = self._errands.pop(name).task
        if task is not None:
            task.cancel()

    async def _run(self, replica: Replica, errand: _Errand, value: JsonObject) -> None:
        order, driver = errand.order, self._driver
        try:
            if replica.variant:
                await self._ask(errand, lambda: driver.unload(replica, order))
            if not errand.driven.problem:
                await self._ask(errand, lambda: driver.load_model(replica, order, value))
            while not (errand.driven.problem or errand.driven.healthy):
                answer = await driver.health(replica)
                errand.driven = Driven(healthy=answer.ok, said=f"health: {answer}")
                if not answer.ok:
                    await asyncio.sleep(self._again.pause(1))
        except Exception as error:
            log.exception("driver_broke", replica=replica.id)
            errand.driven = Driven(problem=f"{type(error).__name__}: {error}")

    async def _ask(self, errand: _Errand, ask: Callable[[], Awaitable[Answer]]) -> None:
        """Ask until there is an answer that counts."""
        failures = 0
        while not (answer := await ask()).ok:
            if not answer.temporary:
                errand.driven = Driven(problem=f"its driver {answer}")
                return
            errand.driven = Driven(said=str(answer))
            failures += 1
            await asyncio.sleep(self._again.pause(failures))
