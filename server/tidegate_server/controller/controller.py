"""The controller: leads while it has the lease, and waits for it otherwise."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from tidegate_server.controller.gatekeeper import Gatekeeper
from tidegate_server.controller.lease import Lease, Term
from tidegate_server.controller.notifications.courier import Courier
from tidegate_server.controller.replicas.reconciler import Reconciler
from tidegate_server.controller.schedule import Schedule
from tidegate_server.errors import StoreUnavailable
from tidegate_server.ports import SharedClock
from tidegate_server.services.feed import Feed
from tidegate_server.signals.controller import note_leadership
from tidegate_server.waiting import pause

CLOCK_SECONDS = 5.0
"""How often the store's time is read: clocks of machines drift."""

READY_SECONDS = 0.1
"""How often a controller that has just begun to lead sees whether it can take looks."""

log = structlog.get_logger(__name__)


class Controller:
    """One of any number of controllers of an environment, of which one leads.

    feeds: what it knows of the store; looks wait until all are ready.
    """

    def __init__(
        self,
        lease: Lease,
        schedule: Schedule,
        gates: Gatekeeper,
        replicas: Reconciler,
        courier: Courier,
        clock: SharedClock,
        feeds: Sequence[Feed[Any]],
    ) -> None:
        self._lease = lease
        self._schedule = schedule
        self._gates = gates
        self._replicas = replicas
        self._courier = courier
        self._clock = clock
        self._feeds = feeds

    async def run(self, stop: asyncio.Event) -> None:
        """Lead whenever it is this controller's turn, until `stop` is set."""
        note_leadership(leads=False)
        while (term := await self._lease.take(stop)) is not None:
            await self._lead(term, stop)
        await self._lease.give_up()

    async def _lead(self, term: Term, stop: asyncio.Event) -> None:
        """Do a leader's work until the term is over; looks under way are finished."""
        note_leadership(leads=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._end(term, stop))
            tasks.create_task(self._lease.keep(term))
            tasks.create_task(self._keep_time(term))
            tasks.create_task(self._look(term))
            tasks.create_task(self._replicas.run(term))
            tasks.create_task(self._courier.run(term))
        note_leadership(leads=False)
        await self._gates.stop()

    async def _end(self, term: Term, stop: asyncio.Event) -> None:
        """End the term when the process is to stop."""
        stopping = asyncio.create_task(stop.wait())
        over = asyncio.create_task(term.over.wait())
        await asyncio.wait({stopping, over}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        over.cancel()
        term.over.set()

    async def _look(self, term: Term) -> None:
        """Have looks taken, once this process knows what is in the store, and the time."""
        while not term.over.is_set() and not await self._is_ready():
            await pause(term.over, READY_SECONDS)
        await self._schedule.run(term)

    async def _is_ready(self) -> bool:
        return all(each.ready.is_set() for each in self._feeds) and await self._read_clock()

    async def _keep_time(self, term: Term) -> None:
        while not term.over.is_set():
            await pause(term.over, CLOCK_SECONDS)
            await self._read_clock()

    async def _read_clock(self) -> bool:
        try:
            await self._clock.read()
        except StoreUnavailable as error:
            log.debug("clock_not_read", cause=str(error))
            return False
        return True
