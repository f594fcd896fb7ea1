"""Whether this controller leads: the lease, taken and kept."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from tidegate_server.errors import StoreUnavailable
from tidegate_server.ports import Fence, Leadership
from tidegate_server.waiting import pause

log = structlog.get_logger(__name__)

RENEWALS = 3
"""How often a lease is renewed in the time that it lasts."""

ASK_SECONDS = 1.0
"""How often one that does not lead asks for the lease, at least."""


@dataclass
class Term:
    """A time of leading. over: set when it ends; nothing is begun in its name any more."""

    fence: Fence
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, why: str) -> None:
        """Note that this controller leads no more."""
        if not self.over.is_set():
            log.warning("lead_lost", fence=self.fence, cause=why)
            self.over.set()


class Lease:
    """One controller's claim.

    name: no other's. seconds: how long one that says nothing more is still taken for the leader.
    monotonic: in seconds.
    """

    def __init__(
        self,
        leadership: Leadership,
        name: str,
        seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._name = name
        self._seconds = seconds
        self._renewal = seconds / RENEWALS
        self._monotonic = monotonic
        self._ends = 0.0

    async def take(self, stop: asyncio.Event) -> Term | None:
        """Wait until this controller leads; None if `stop` is set before."""
        while not stop.is_set():
            try:
                fence = await self._acquire()
            except StoreUnavailable as error:
                log.warning("lease_not_asked_for", cause=str(error))
                fence = None
            if fence is not None:
                log.info("leads", controller=self._name, fence=fence)
                return Term(fence)
            await pause(stop, min(ASK_SECONDS, self._renewal))
        return None

    async def keep(self, term: Term) -> None:
        """Renew the lease until the term is over; end it when it can't be ours any more."""
        while True:
            await pause(term.over, self._renewal)
            if term.over.is_set():
                return
            try:
                fence = await self._acquire()
            except StoreUnavailable as error:
                if self._monotonic() >= self._ends:
                    term.end(f"the lease is over, and the store is away: {error}")
                continue
            if fence != term.fence:
                term.end("another controller has led")

    async def give_up(self) -> None:
        """Let another controller lead at once."""
        try:
            await self._leadership.release(self._name)
        except StoreUnavailable as error:
            log.info("lease_left_to_expire", cause=str(error))

    async def _acquire(self) -> Fence | None:
        asked = self._monotonic()
        fence = await self._leadership.acquire(self._name, self._seconds)
        if fence is not None:
            self._ends = asked + self._seconds
        return fence
