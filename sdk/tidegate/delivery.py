"""Sends batches of events: one attempt at a time, and what its answer means."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import grpc

from tidegate.channel import NoChannel
from tidegate.log_limit import LogLimit
from tidegate.v1 import event_service_pb2, event_service_pb2_grpc

log = logging.getLogger("tidegate")

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

RETRY_AFTER = "retry-after-ms"
"""Trailing metadata of a failed ReportEvents: the least time to wait, as decimal milliseconds."""

LONGEST_RETRY_AFTER_SECONDS = 60.0
"""A server can't ask for more."""


class Fate(StrEnum):
    """What became of a batch."""

    STORED = "STORED"  # the server has it
    LATER = "LATER"  # it may be sent again
    REFUSED = "REFUSED"  # it would be refused again
    SPOOLED = "SPOOLED"  # it is on disk, to be sent again
    LEFT = "LEFT"  # the queue was closed first


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an attempt; `retry_after`: the least seconds to wait, as the server says."""

    fate: Fate
    retry_after: float = 0.0


class Delivery:
    """Sends batches through a channel, which `channel` gives when it is needed."""

    def __init__(self, channel: Callable[[], grpc.Channel]) -> None:
        self._channel = channel
        self._stub: event_service_pb2_grpc.EventServiceStub | None = None
        self._limited_log = LogLimit(log)

    def attempt(self, batch: event_service_pb2.EventBatch, seconds: float, attempts: int) -> Answer:
        """Send a batch, for the `attempts`th time, and wait at most `seconds` for the answer."""
        try:
            if self._stub is None:
                self._stub = event_service_pb2_grpc.EventServiceStub(self._channel())
            request = event_service_pb2.ReportEventsRequest(batch=batch)
            self._stub.ReportEvents(request, timeout=seconds)
        except grpc.RpcError as error:
            return self._failed(error, len(batch.values), attempts)
        except NoChannel:
            return Answer(Fate.LATER)
        except ValueError:  # what gRPC raises for a channel that was closed meanwhile
            self._stub = None
            return Answer(Fate.LATER)
        return Answer(Fate.STORED)

    def after_fork(self) -> None:
        """Forget the parent's channel."""
        self._stub = None
        self._limited_log = LogLimit(log)

    def _failed(self, error: grpc.RpcError, size: int, attempts: int) -> Answer:
        status, details = grpc.StatusCode.UNKNOWN, str(error)
        if isinstance(error, grpc.Call):
            status, details = error.code(), error.details()
        if status in UNTIL_IT_WORKS or (status in SOME_TIMES and attempts < MOST_ATTEMPTS):
            if attempts >= ATTEMPTS_BEFORE_WARNING:
                self._limited_log.warning(
                    "retry",
                    "events cannot be delivered at present, and wait: %s: %s",
                    status.name,
                    details,
                )
            return Answer(Fate.LATER, _retry_after(error))
        self._limited_log.warning(
            status.name,
            "a batch of %d events was refused for good and is dropped: %s: %s",
            size,
            status.name,
            details,
        )
        return Answer(Fate.REFUSED)


def _retry_after(error: grpc.RpcError) -> float:
    """Return the seconds that the server asks to wait, 0 where it does not say."""
    if not isinstance(error, grpc.Call):
        return 0.0
    for key, value in error.trailing_metadata() or ():
        if key == RETRY_AFTER and isinstance(value, str) and value.isdecimal():
            return min(LONGEST_RETRY_AFTER_SECONDS, int(value) / 1_000)
    return 0.0
