"""Values that are kept current, and whom they are told to: one of each for a process."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

import structlog

from tidegate_server.errors import TidegateServerError

log = structlog.get_logger(__name__)

T = TypeVar("T")
Listener = Callable[[], None]

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""Seconds between attempts to reach the server: doubled each time, jittered."""

BUG = "the dashboard failed: its log has the cause"

LINGER_SECONDS = 10.0
"""How long a polled value is kept current after its last listener has left."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether a value is current. heard: when it last was; None: never. problem: why it is not."""

    heard: datetime | None
    problem: str = ""

    @property
    def live(self) -> bool:
        """Whether the value is as the server has it."""
        return self.heard is not None and not self.problem


class Feed(Generic[T]):
    """A value, how fresh it is, and those who are told when either changes."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.freshness = Freshness(None)
        self._listeners: list[Listener] = []
        self._known = asyncio.Event()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told of every change; the function returned ends that."""
        self._listeners.append(listener)
        return lambda: self._leave(listener)

    async def first(self, seconds: float) -> T | None:
        """Return the value as soon as there is one, or an attempt failed; wait so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._known.wait()
        return self.value

    def publish(self, value: T) -> None:
        """Take a value that was just heard: the same object where nothing has changed."""
        was, self.value = self.value, value
        self._note(Freshness(datetime.now(UTC)), changed=value is not was)

    def fail(self, problem: str) -> None:
        """Note why the value can't be kept current for now."""
        self._note(Freshness(self.freshness.heard, problem), changed=False)

    def _note(self, freshness: Freshness, *, changed: bool) -> None:
        changed = changed or freshness.problem != self.freshness.problem
        self.freshness = freshness
        self._known.set()
        if changed:
            for listener in tuple(self._listeners):
                listener()

    def _leave(self, listener: Listener) -> None:
        with suppress(ValueError):
            self._listeners.remove(listener)

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)


class Polled(Feed[T]):
    """A value that is asked for again and again while anybody listens.

    fetch: is given the value before, and returns the next one: the same object where nothing has
    changed. seconds: between an answer and the next question.
    """

    def __init__(self, fetch: Callable[[T | None], Awaitable[T]], seconds: float) -> None:
        super().__init__()
        self._fetch = fetch
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told of every change; the first one starts the questions."""
        leave = super().listen(listener)
        if self._task is None or self.ended:
            self._task = asyncio.create_task(self._run())
        return leave

    @property
    def ended(self) -> bool:
        """Whether questions were asked, and are no more."""
        return self._task is not None and self._task.done()

    def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        seen = time.monotonic()
        while self.watched or time.monotonic() - seen < LINGER_SECONDS:
            seen = time.monotonic() if self.watched else seen
            try:
                self.publish(await self._fetch(self.value))
            except TidegateServerError as error:
                self.fail(str(error))
            except Exception:
                log.exception("feed_failed")
                self.fail(BUG)
            await asyncio.sleep(self._seconds)


class Followed(Feed[T]):
    """A value that a stream of messages keeps current.

    read: begins a stream and turns it into values; yields after every message: the same object
    where nothing has changed, None before all is there. A dead connection ends it with an error.
    """

    def __init__(self, read: Callable[[], AsyncGenerator[T | None, None]]) -> None:
        super().__init__()
        self._read = read

    async def run(self) -> None:
        """Follow the stream without end."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with aclosing(self._read()) as values:
                    async for value in values:
                        pause = FIRST_PAUSE
                        if value is not None:
                            self.publish(value)
                self.fail("the server has ended the stream")
            except TidegateServerError as error:
                self.fail(str(error))
            except Exception:
                log.exception("feed_failed")
                self.fail(BUG)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(LONGEST_PAUSE, pause * 2)
