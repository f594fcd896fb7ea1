"""Drivers: what makes a replica load a variant.

A replica without a driver reads in the answers to its heartbeats what it shall load, and needs none
of this.
"""

import json
from typing import Any, Protocol

from tidegate.model import JsonObject
from tidegate_server.controller.web import FIRST_BYTES, Answer, Web
from tidegate_server.domain.replicas.replica import Order, Replica

HEALTH_SECONDS = 5.0
"""How long the answer about a replica's health may take."""


class Driver(Protocol):
    """Asks for one thing at a time; the answers say whether it is worth asking again.

    All may be asked for the same thing twice: a new leader does not know what the former one asked.
    """

    async def load_model(self, replica: Replica, order: Order, value: JsonObject) -> Answer:
        """Have a replica load the variant that it was ordered to, which has this value."""
        ...

    async def unload(self, replica: Replica, order: Order) -> Answer:
        """Have a replica let go of the variant that it has."""
        ...

    async def health(self, replica: Replica) -> Answer:
        """Ask whether a replica answers."""
        ...


class WebhookDriver:
    """POST {driver_url}/load_model and /unload, GET {driver_url}/health; 2xx is a yes.

    seconds: how long loading and unloading may take, each.
    """

    def __init__(self, web: Web, environment: str, seconds: float) -> None:
        self._web = web
        self._environment = environment
        self._seconds = seconds

    async def load_model(self, replica: Replica, order: Order, value: JsonObject) -> Answer:
        """POST the variant and its value."""
        return await self._post(replica, order, "load_model", {"value": value})

    async def unload(self, replica: Replica, order: Order) -> Answer:
        """POST the variant that the replica has; a driver without `unload` answers 404."""
        answer = await self._post(replica, order, "unload", {"variant": replica.variant})
        return Answer(204, "") if answer.status == 404 else answer

    async def health(self, replica: Replica) -> Answer:
        """GET, which is not signed."""
        return await self._web.get(_url(replica, "health"), HEALTH_SECONDS, FIRST_BYTES)

    async def _post(
        self, replica: Replica, order: Order, what: str, more: dict[str, Any]
    ) -> Answer:
        told = {"replica": replica.id, "flag": replica.flag, "variant": order.variant, **more}
        since_ms = round(order.since.timestamp() * 1_000)
        call_id = f"{self._environment}/replica/{replica.id}/{since_ms}/{what}"
        body = json.dumps(told).encode()
        return await self._web.post(_url(replica, what), body, call_id, self._seconds)


def _url(replica: Replica, what: str) -> str:
    return f"{replica.driver_url.rstrip('/')}/{what}"
