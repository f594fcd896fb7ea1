"""The queue of events: bounded, sent in batches by one thread, retried, counted.

`add` is called with every event and does no more than append to a deque. What finds the queue full,
or is refused by the server for good, is dropped: it is counted by flag, variant and phase, and the
counts travel with the next batch. A batch keeps its id through all attempts, so that the server
stores it once.

With a spool, a batch that can't be delivered at once goes to disk, and from there to the server
when it answers again. Only the queue's thread writes there, and `close`, when that thread is late.
"""

import logging
import math
import threading
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from tidegate.backoff import Backoff
from tidegate.delivery import Answer, Delivery, Fate
from tidegate.event_batch import (
    ArmKey,
    Batch,
    Event,
    arm_key,
    batch_arms,
    count_arms,
    encode_batch,
    new_batch_id,
)
from tidegate.log_limit import LogLimit
from tidegate.spool import Spool

log = logging.getLogger("tidegate")

SEND_SECONDS = 10.0
"""How long one attempt to send may take."""

MOST_UNIT_CHARACTERS = 1 << 18
"""Most characters of units' ids in a batch: it stays below 5 MB, and the server takes 8 MB."""

MANY = 500
"""So many events don't wait for others."""

ADOPT_SECONDS = 30.0
"""How often the spool looks for what other processes left behind."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How the queue works.

    `size`: most events that wait. `batch_size`: most events of a batch. MANY events are sent at
    once, fewer after `flush_interval` (seconds); larger batches come about while one is under way.
    `send_unit_ids`: whether ids of units leave the process.
    """

    size: int = 100_000
    batch_size: int = 5_000
    flush_interval: float = 1.0
    send_unit_ids: bool = True


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Numbers of events: waiting or under way now, and on disk; and what became of the others.

    `refused`: by the server, one by one, from batches of which it stored the rest.
    """

    queued: int
    acknowledged: int
    dropped: int
    spooled: int = 0
    refused: int = 0


class EventQueue:
    """Collects events and delivers them from a thread of its own, once `start` was called.

    `every_tick` is called from the thread at least once a second or `flush_interval`, and between
    batches; a slow server may delay it by SEND_SECONDS.
    """

    def __init__(
        self,
        delivery: Delivery,
        options: QueueOptions,
        *,
        spool: Spool | None = None,
        every_tick: Callable[[], None] = lambda: None,
        wake: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
    ) -> None:
        """`wake` is called by the first `add` after a fork: it should call `start`."""
        self._delivery = delivery
        self._options = options
        self._spool = spool
        self._every_tick = every_tick
        self._wake = wake
        self._backoff = backoff or Backoff()
        self._closed = False
        self._discarding = False
        self._room = options.size
        self._many = min(options.batch_size, MANY)
        self._reset()

    def _reset(self) -> None:
        """Set what belongs to one process: events, locks, counts and the thread."""
        self._limited_log = LogLimit(log)
        self._events: deque[Event] = deque()
        self._asleep = False
        self._rung = False
        self._bell = threading.Event()

        self._lock = threading.Condition(threading.RLock())  # guards all that follows
        self._in_flight: tuple[Event, ...] = ()
        self._batch_in_flight: Batch | None = None
        self._taken = 0
        self._acknowledged = 0
        self._lost_in_flight = 0  # dropped or refused
        self._dropped_total = 0
        self._refused = 0
        self._spooled = 0
        self._unreported: Counter[ArmKey] = Counter()
        self._flush_up_to = 0
        self._closing = threading.Event()
        self._closing_at = math.inf
        now = time.monotonic()
        self._next_partial = now + self._options.flush_interval
        self._next_adoption = now
        self._attempts = 0  # in a row that met no answer
        self._attempts_of_oldest = 0
        self._next_attempt = now
        self._thread = threading.Thread(target=self._run, name="tidegate-events", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def discard(self) -> None:
        """Count all events as dropped from now on, instead of a `start`: nobody will want them."""
        self._discarding = True
        self._room = 0

    def add(self, event: Event) -> bool:
        """Queue an event; False if there was no room, and it was dropped."""
        events = self._events
        if len(events) >= self._room:
            return self._add_without_room(event)
        events.append(event)
        if len(events) >= self._many and not self._rung:
            self._ring()
        return True

    def counts(self) -> QueueCounts:
        """Return what became of the events so far."""
        with self._lock:
            waiting = len(self._events) + len(self._in_flight)
            return QueueCounts(
                waiting, self._acknowledged, self._dropped_total, self._spooled, self._refused
            )

    def flush(self, timeout: float | None = None) -> bool:
        """Send what is queued now; wait until it is acknowledged, at most `timeout` seconds.

        Returns False if the time ran out, or if some of it was dropped or refused.
        """
        with self._lock:
            target = self._taken + len(self._events)
            lost = self._lost_in_flight
            self._flush_up_to = max(self._flush_up_to, target)
            self._ring()
            in_time = self._lock.wait_for(lambda: self._settled() >= target, timeout)
            return in_time and self._lost_in_flight == lost

    def close(self, timeout: float) -> None:
        """Take no more events; deliver what is queued for at most `timeout` seconds, then stop.

        What could not be delivered by then goes to the spool; without one, or if it is full, it is
        dropped, counted and logged.
        """
        with self._lock:
            if self._closing.is_set():
                return
            self._room = 0
            self._asleep = False
            self._closing_at = time.monotonic() + timeout
            self._closing.set()
            self._ring()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout + (0.5 if self._spool is not None else 0.0))
        self._abandon()

    def after_fork(self) -> None:
        """Become an empty queue of the child process; the first event will `wake` it.

        What was queued is the parent's, and is delivered there.
        """
        closed = self._closing.is_set()
        self._reset()
        if self._spool is not None:
            self._spool.after_fork()
        self._delivery.after_fork()
        self._room = 0
        self._asleep = not closed and not self._discarding
        self._closed = closed
        if closed:
            self._closing.set()

    def awake(self) -> None:
        """Take events again after a fork; `start` comes next."""
        self._asleep = False
        self._room = self._options.size

    def _ring(self) -> None:
        self._rung = True
        self._bell.set()

    def _settled(self) -> int:
        return self._acknowledged + self._lost_in_flight

    def _add_without_room(self, event: Event) -> bool:
        if self._asleep:
            self._wake()
            if not self._asleep:
                return self.add(event)
        with self._lock:
            self._dropped_total += 1
            self._unreported[arm_key(event[0])] += 1
        if self._discarding:
            return True
        why = "closed" if self._closing.is_set() else "full"
        self._limited_log.warning(
            why,
            "the queue of events is %s: events are dropped and counted; "
            "see queue_size, and whether the server can be reached",
            why,
        )
        return False

    # All below runs in the queue's own thread; _abandon also in the one that calls close.

    def _run(self) -> None:
        while not self._finished():
            self._bell.wait(self._seconds_to_rest())
            self._bell.clear()
            self._rung = False
            try:
                self._every_tick()
                self._deliver_due()
                self._deliver_spooled()
            except Exception:
                log.exception("the queue of events met a fault, and goes on")
        self._abandon()

    def _seconds_to_rest(self) -> float:
        longest = min(1.0, self._options.flush_interval)
        if not self._spool:  # none, or nothing in it
            return longest
        return max(0.0, min(longest, self._next_attempt - time.monotonic()))

    def _finished(self) -> bool:
        if not self._closing.is_set():
            return False
        if self._closed or time.monotonic() >= self._closing_at:
            return True
        return not self._events and (not self._spooled or self._attempts > 0)

    def _deliver_due(self) -> None:
        """Send full batches; the last events too, if they waited or someone waits for them."""
        now = time.monotonic()
        partly = now >= self._next_partial
        if partly:
            self._next_partial = now + self._options.flush_interval
        while self._due(partly=partly):
            events = self._take()
            if events:
                self._deliver(events)
            self._every_tick()

    def _due(self, *, partly: bool) -> bool:
        waiting = len(self._events)
        if not waiting or self._closed:
            return False
        if self._closing.is_set():
            return time.monotonic() < self._closing_at
        return partly or waiting >= self._many or self._taken < self._flush_up_to

    def _take(self) -> tuple[Event, ...]:
        """Move the next batch from the queue into flight."""
        events = self._events
        with self._lock:
            most = min(len(events), self._options.batch_size)
            taken = [events.popleft() for _ in range(most)]
            characters = list(accumulate(len(event[2]) for event in taken))
            fitting = max(1, bisect_right(characters, MOST_UNIT_CHARACTERS))
            events.extendleft(reversed(taken[fitting:]))
            self._in_flight = tuple(taken[:fitting])
            self._taken += len(self._in_flight)
            return self._in_flight

    def _deliver(self, events: tuple[Event, ...]) -> None:
        with self._lock:
            dropped, self._unreported = self._unreported, Counter()
        answer = Answer(Fate.REFUSED)
        try:
            self._batch_in_flight = self._encode(events, dropped)
            answer = self._send_until_settled(self._batch_in_flight)
        finally:
            if answer.fate is not Fate.LEFT:
                self._settle(events, dropped, answer)

    def _encode(self, events: tuple[Event, ...], dropped: Counter[ArmKey]) -> Batch:
        return encode_batch(
            new_batch_id(time.time()), events, dropped, send_unit_ids=self._options.send_unit_ids
        )

    def _settle(self, events: tuple[Event, ...], dropped: Counter[ArmKey], answer: Answer) -> None:
        with self._lock:
            if not self._in_flight:  # close() gave the batch up before its answer came
                return
            self._in_flight = ()
            match answer.fate:
                case Fate.STORED:
                    self._note_stored(len(events), answer.refused)
                case Fate.SPOOLED:
                    self._spooled += len(events)
                case _:
                    self._lose(len(events), dropped + count_arms(events))
            self._lock.notify_all()

    def _note_stored(self, events: int, refused: int) -> None:
        self._acknowledged += events - refused
        self._lost_in_flight += refused
        self._refused += refused

    def _lose(self, events: int, arms: Counter[ArmKey]) -> None:
        self._lost_in_flight += events
        self._dropped_total += events
        self._unreported += arms

    def _send_until_settled(self, batch: Batch) -> Answer:
        """Send one batch until it is stored, refused or spooled, or the queue's time is up."""
        attempts = 0
        while (seconds := self._seconds_to_send()) > 0:
            if self._spool is None or time.monotonic() >= self._next_attempt:
                attempts += 1
                answer = self._attempt(batch, seconds, attempts)
                if answer.fate is not Fate.LATER:
                    return answer
            if self._put(batch):
                return Answer(Fate.SPOOLED)
            self._pause(self._next_attempt)
        return Answer(Fate.SPOOLED if self._put(batch) else Fate.LEFT)

    def _attempt(self, batch: Batch, seconds: float, attempts: int) -> Answer:
        answer = self._delivery.attempt(batch, seconds, attempts)
        if answer.fate is Fate.LATER:
            self._attempts += 1
            pause = max(self._backoff.pause(self._attempts), answer.retry_after)
            self._next_attempt = time.monotonic() + pause
        else:
            self._attempts = 0
        return answer

    def _put(self, batch: Batch) -> bool:
        return self._spool is not None and self._spool.put(batch)

    def _seconds_to_send(self) -> float:
        if self._closed:
            return 0.0
        return min(SEND_SECONDS, self._closing_at - time.monotonic())

    def _pause(self, until: float) -> None:
        """Wait before the next attempt; `close` cuts it short, and ticks go on."""
        if self._closing.is_set():
            time.sleep(max(0.0, min(until, self._closing_at) - time.monotonic()))
            return
        while (left := until - time.monotonic()) > 0 and not self._closing.wait(min(1.0, left)):
            self._every_tick()

    def _deliver_spooled(self) -> None:
        """Send what is on disk, until the server fails or newer events are due."""
        spool = self._spool
        if spool is None:
            return
        self._adopt(spool)
        while self._seconds_to_send() > 0 and time.monotonic() >= self._next_attempt:
            oldest = spool.oldest()
            if oldest is None:
                return
            spooled, batch = oldest
            self._attempts_of_oldest += 1
            answer = self._attempt(batch, self._seconds_to_send(), self._attempts_of_oldest)
            if answer.fate is Fate.LATER:
                return
            self._attempts_of_oldest = 0
            spool.remove(spooled)
            if spooled.own:
                self._settle_spooled(batch, answer)
            self._every_tick()
            if self._due(partly=False):
                self._ring()
                return

    def _adopt(self, spool: Spool) -> None:
        now = time.monotonic()
        if now >= self._next_adoption and not self._closing.is_set():
            self._next_adoption = now + ADOPT_SECONDS
            spool.adopt()

    def _settle_spooled(self, batch: Batch, answer: Answer) -> None:
        with self._lock:
            self._spooled -= batch.size
            if answer.fate is Fate.STORED:
                self._note_stored(batch.size, answer.refused)
            else:
                self._lose(batch.size, batch_arms(batch))
            self._lock.notify_all()

    def _abandon(self) -> None:
        """Spool or drop what is left, once; the queue is closed for good."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            spooled = self._spool_rest()
            left = (*self._in_flight, *self._events)
            self._lost_in_flight += len(left)
            self._taken += len(self._events)
            self._dropped_total += len(left)
            self._in_flight = ()
            self._events.clear()
            self._lock.notify_all()
        if spooled:
            log.info("closed with %d events in the spool, for the next process", spooled)
        if left:
            log.warning(
                "closed with %d events that the server had not acknowledged; they are lost",
                len(left),
            )

    def _spool_rest(self) -> int:
        """Move to the spool what is under way, under the same batch id, and what is queued."""
        spool = self._spool
        if spool is None:
            return 0
        batch = self._batch_in_flight
        if self._in_flight and batch is not None and spool.put(batch):
            self._settle(self._in_flight, Counter(), Answer(Fate.SPOOLED))
        while not self._in_flight and self._take():
            dropped, self._unreported = self._unreported, Counter()
            if spool.put(self._encode(self._in_flight, dropped)):
                self._settle(self._in_flight, dropped, Answer(Fate.SPOOLED))
        spool.close()
        return self._spooled
