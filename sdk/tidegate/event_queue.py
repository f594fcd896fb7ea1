"""The queue of events: bounded, sent in batches by one thread, retried, counted.

`add` is called with every event and does no more than append to a deque. What finds the queue full,
or is refused by the server for good, is dropped: it is counted by flag, variant and phase, and the
counts travel with the next batch. A batch keeps its id through all attempts, so that the server
stores it once.
"""

import logging
import math
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from tidegate.backoff import Backoff
from tidegate.event_batch import ArmKey, Event, arm_key, count_arms, encode_batch
from tidegate.log_limit import LogLimit
from tidegate.v1 import event_service_pb2, event_service_pb2_grpc

log = logging.getLogger("tidegate")

SEND_SECONDS = 10.0
"""How long one attempt to send may take."""

MOST_UNIT_CHARACTERS = 1 << 18
"""Most characters of units' ids in a batch: it stays well below gRPC's 4 MiB."""

UNTIL_IT_WORKS = {
    # The server is away, busy or restarting; nothing is wrong with the batch.
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
}
SOME_TIMES = {
    # A proxy between, or a fault of the server; perhaps one that this batch brings about.
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}
"""All other statuses are final: the same batch would be refused again."""

MOST_ATTEMPTS = 5
"""How often a batch is sent that is answered by a status of SOME_TIMES."""

ATTEMPTS_BEFORE_WARNING = 3
"""A hiccup is not worth a warning."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How the queue works.

    `size`: most events that wait. `batch_size`: most events of a batch; so many are sent at once,
    fewer after `flush_interval` (seconds). `send_unit_ids`: whether ids of units leave the process.
    """

    size: int = 100_000
    batch_size: int = 500
    flush_interval: float = 1.0
    send_unit_ids: bool = True


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Numbers of events: waiting or under way now; acknowledged and dropped since the start."""

    queued: int
    acknowledged: int
    dropped: int


class EventQueue:
    """Collects events and delivers them from a thread of its own, once `start` was called.

    `every_tick` is called from the thread at least once a second or `flush_interval`, and between
    batches; a slow server may delay it by SEND_SECONDS.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        options: QueueOptions,
        *,
        every_tick: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._report = event_service_pb2_grpc.EventServiceStub(channel).ReportEvents
        self._options = options
        self._every_tick = every_tick
        self._backoff = backoff or Backoff()
        self._limited_log = LogLimit(log)

        self._events: deque[Event] = deque()
        self._room = options.size
        self._rung = False
        self._bell = threading.Event()

        self._lock = threading.Condition(threading.RLock())  # guards all that follows
        self._in_flight: tuple[Event, ...] = ()
        self._taken = 0
        self._acknowledged = 0
        self._lost_in_flight = 0
        self._dropped_total = 0
        self._unreported: Counter[ArmKey] = Counter()
        self._flush_up_to = 0
        self._closing = threading.Event()
        self._closing_at = math.inf
        self._closed = False
        self._next_partial = time.monotonic() + options.flush_interval
        self._thread = threading.Thread(target=self._run, name="tidegate-events", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def add(self, event: Event) -> bool:
        """Queue an event; False if there was no room, and it was dropped."""
        events = self._events
        if len(events) >= self._room:
            self._drop_new(event)
            return False
        events.append(event)
        if len(events) >= self._options.batch_size and not self._rung:
            self._ring()
        return True

    def counts(self) -> QueueCounts:
        """Return what became of the events so far."""
        with self._lock:
            waiting = len(self._events) + len(self._in_flight)
            return QueueCounts(waiting, self._acknowledged, self._dropped_total)

    def flush(self, timeout: float | None = None) -> bool:
        """Send what is queued now; wait until it is acknowledged, at most `timeout` seconds.

        Returns False if the time ran out, or if some of it was dropped.
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

        What could not be delivered by then is dropped, counted and logged.
        """
        with self._lock:
            if self._closing.is_set():
                return
            self._room = 0
            self._closing_at = time.monotonic() + timeout
            self._closing.set()
            self._ring()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._abandon()

    def _ring(self) -> None:
        self._rung = True
        self._bell.set()

    def _settled(self) -> int:
        return self._acknowledged + self._lost_in_flight

    def _drop_new(self, event: Event) -> None:
        with self._lock:
            self._dropped_total += 1
            self._unreported[arm_key(event[0])] += 1
        why = "closed" if self._closing.is_set() else "full"
        self._limited_log.warning(
            why,
            "the queue of events is %s: events are dropped and counted; "
            "see queue_size, and whether the server can be reached",
            why,
        )

    # All below runs in the queue's own thread, but for _abandon.

    def _run(self) -> None:
        while not self._finished():
            self._bell.wait(min(1.0, self._options.flush_interval))
            self._bell.clear()
            self._rung = False
            try:
                self._every_tick()
                self._deliver_due()
            except Exception:
                log.exception("the queue of events met a fault, and goes on")
        self._abandon()

    def _finished(self) -> bool:
        if not self._closing.is_set():
            return False
        return self._closed or not self._events or time.monotonic() >= self._closing_at

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
        full = waiting >= self._options.batch_size
        return partly or full or self._taken < self._flush_up_to

    def _take(self) -> tuple[Event, ...]:
        """Move the next batch from the queue into flight."""
        taken: list[Event] = []
        characters = 0
        with self._lock:
            while self._events and len(taken) < self._options.batch_size:
                characters += len(self._events[0][2])
                if taken and characters > MOST_UNIT_CHARACTERS:
                    break
                taken.append(self._events.popleft())
            self._taken += len(taken)
            self._in_flight = tuple(taken)
            return self._in_flight

    def _deliver(self, events: tuple[Event, ...]) -> None:
        with self._lock:
            dropped, self._unreported = self._unreported, Counter()
        stored: bool | None = False
        try:
            stored = self._send_until_settled(
                event_service_pb2.ReportEventsRequest(
                    batch=encode_batch(
                        secrets.token_bytes(16),
                        events,
                        dropped,
                        send_unit_ids=self._options.send_unit_ids,
                    )
                )
            )
        finally:
            if stored is not None:
                self._settle(events, dropped, stored=stored)

    def _settle(self, events: tuple[Event, ...], dropped: Counter[ArmKey], *, stored: bool) -> None:
        with self._lock:
            if not self._in_flight:  # close() gave the batch up before its answer came
                return
            self._in_flight = ()
            if stored:
                self._acknowledged += len(events)
            else:
                self._lost_in_flight += len(events)
                self._dropped_total += len(events)
                self._unreported += dropped + count_arms(events)
            self._lock.notify_all()

    def _send_until_settled(self, request: event_service_pb2.ReportEventsRequest) -> bool | None:
        """Send one batch until it is stored (True), refused (False), or the queue's time is up."""
        attempts = 0
        while (seconds := self._seconds_to_send()) > 0:
            attempts += 1
            try:
                self._report(request, timeout=seconds)
            except grpc.RpcError as error:
                if not self._may_retry(error, attempts):
                    return False
            else:
                return True
            self._pause(self._backoff.pause(attempts))
        return None

    def _seconds_to_send(self) -> float:
        if self._closed:
            return 0.0
        return min(SEND_SECONDS, self._closing_at - time.monotonic())

    def _may_retry(self, error: grpc.RpcError, attempts: int) -> bool:
        status, details = grpc.StatusCode.UNKNOWN, str(error)
        if isinstance(error, grpc.Call):
            status, details = error.code(), error.details()
        if status in UNTIL_IT_WORKS or (status in SOME_TIMES and attempts < MOST_ATTEMPTS):
            if attempts >= ATTEMPTS_BEFORE_WARNING:
                self._limited_log.warning(
                    "retry",
                    "events cannot be delivered at present, %d wait: %s: %s",
                    len(self._events) + len(self._in_flight),
                    status.name,
                    details,
                )
            return True
        self._limited_log.warning(
            status.name,
            "a batch of %d events was refused for good and is dropped: %s: %s",
            len(self._in_flight),
            status.name,
            details,
        )
        return False

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; `close` cuts it short, and ticks go on."""
        until = time.monotonic() + seconds
        if self._closing.is_set():
            time.sleep(max(0.0, min(until, self._closing_at) - time.monotonic()))
            return
        while (left := until - time.monotonic()) > 0 and not self._closing.wait(min(1.0, left)):
            self._every_tick()

    def _abandon(self) -> None:
        """Drop what is left, once; the queue is closed for good."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            left = (*self._in_flight, *self._events)
            self._lost_in_flight += len(left)
            self._taken += len(self._events)
            self._dropped_total += len(left)
            self._in_flight = ()
            self._events.clear()
            self._lock.notify_all()
        if left:
            log.warning(
                "closed with %d events that the server had not acknowledged; they are lost",
                len(left),
            )
