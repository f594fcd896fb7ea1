"""Delivery of notifications: at least once, in order for each address, none waiting for another."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import structlog

from tidegate.backoff import Backoff
from tidegate_server.controller.gatekeeper import event_prefix
from tidegate_server.controller.lease import Term
from tidegate_server.controller.notifications.bodies import body_of
from tidegate_server.controller.web import Web
from tidegate_server.domain.experiments.plan import ExperimentKey, Notification
from tidegate_server.errors import NotFound, StoreUnavailable
from tidegate_server.ports import Clock, ExperimentStore, Message, Outbox
from tidegate_server.waiting import pause

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
"""How often the outbox is looked into."""

ATTEMPT_SECONDS = 10.0
"""How long one attempt may take."""

AGAIN = Backoff(first=1.0, longest=300.0)
"""Pauses between attempts."""

GIVEN_UP = timedelta(hours=24)
"""How long after its decision a notification is still tried."""

PAGE = 1_000
"""How many messages are read at first; more where none of these can be delivered."""


class Address(NamedTuple):
    """One of a plan's notifications."""

    experiment: ExperimentKey
    target: int


class Letter(NamedTuple):
    """A message as it is posted. age: since its decision."""

    to: Notification
    event_id: str
    body: bytes
    age: timedelta


class Courier:
    """Empties the outbox while its controller leads."""

    def __init__(
        self,
        environment: str,
        outbox: Outbox,
        experiments: ExperimentStore,
        web: Web,
        clock: Clock,
        *,
        again: Backoff = AGAIN,
    ) -> None:
        self._environment = environment
        self._outbox = outbox
        self._experiments = experiments
        self._web = web
        self._clock = clock
        self._again = again

    async def run(self, term: Term) -> None:
        """Deliver until the term is over; attempts under way are then given up."""
        rounds: dict[Address, asyncio.Task[None]] = {}
        page = PAGE
        while not term.over.is_set():
            rounds = {address: task for address, task in rounds.items() if not task.done()}
            pending = await self._pending(page)
            waiting = _by_address(pending)
            fresh = waiting.keys() - rounds.keys()
            for address in fresh:
                rounds[address] = asyncio.create_task(self._deliver(waiting[address], term))
            # A page that is full of messages which wait already hides those behind it.
            page = 2 * page if len(pending) == page and not fresh else PAGE
            await pause(term.over, POLL_SECONDS)
        for task in rounds.values():
            task.cancel()
        await asyncio.gather(*rounds.values(), return_exceptions=True)

    async def _pending(self, limit: int) -> Sequence[Message]:
        try:
            return await self._outbox.pending(limit)
        except StoreUnavailable as error:
            log.debug("outbox_not_read", cause=str(error))
            return ()

    async def _deliver(self, messages: Sequence[Message], term: Term) -> None:
        """Deliver the messages of one address, one after the other."""
        for message in messages:
            failures = 0
            while not term.over.is_set():
                try:
                    if await self._attempt(message, failures):
                        break
                except StoreUnavailable as error:
                    log.debug("notification_held_up", cause=str(error))
                except Exception:
                    log.exception("notification_failed", **_named(message))
                failures += 1
                await pause(term.over, self._again.pause(failures))

    async def _attempt(self, message: Message, failures: int) -> bool:
        """Try once; return whether the message is done with."""
        letter = await self._letter(message)
        if letter is not None:
            seconds = ATTEMPT_SECONDS
            answer = await self._web.post(letter.to.url, letter.body, letter.event_id, seconds)
            if answer.ok:
                log.debug("notified", **_named(message))
            elif letter.age >= GIVEN_UP:
                log.error("notification_given_up", **_named(message), cause=str(answer))
            else:
                if failures == 0:
                    log.warning("not_notified", **_named(message), cause=str(answer))
                return False
        await self._outbox.done(message)
        return True

    async def _letter(self, message: Message) -> Letter | None:
        """Return what is to be posted; None: the experiment was deleted."""
        try:
            experiment = await self._experiments.get(message.experiment)
        except NotFound:
            return None
        found = await self._experiments.decisions(message.experiment, message.number - 1, 1)
        if not found or message.target >= len(experiment.plan.notifications):
            return None
        to = experiment.plan.notifications[message.target]
        event_id = f"{event_prefix(self._environment, experiment)}/{message.number}"
        body = body_of(to.format, event_id, self._environment, experiment.plan, found[0])
        return Letter(to, event_id, body, self._clock.now() - found[0].decision.time)


def _by_address(messages: Sequence[Message]) -> dict[Address, list[Message]]:
    found: dict[Address, list[Message]] = {}
    for each in messages:
        found.setdefault(Address(each.experiment, each.target), []).append(each)
    return found


def _named(message: Message) -> dict[str, object]:
    return {
        "experiment": message.experiment,
        "number": message.number,
        "target": message.target,
    }
