"""Sends batches of events: one attempt at a time, and what its answer means."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import grpc

from tidegate.channel import REQUEST_ID, NoChannel
from tidegate.event_batch import Batch, varint
from tidegate.log_limit import LogLimit
from tidegate.v1 import event_service_pb2

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

METHOD = "/tidegate.v1.EventService/ReportEvents"

Metadata: TypeAlias = Sequence[tuple[str, str]]
Around: TypeAlias = Callable[[Batch], AbstractContextManager[Metadata]]

_Call: TypeAlias = Callable[..., event_service_pb2.ReportEventsResponse]


def nothing_around(_: Batch) -> AbstractContextManager[Metadata]:
    """Be what is around an attempt unless something else is."""
    return nullcontext(())


class Fate(StrEnum):
    """What became of a batch."""

    STORED = "STORED"  # the server has it
    LATER = "LATER"  # it may be sent again
    REFUSED = "REFUSED"  # it would be refused again
    SPOOLED = "SPOOLED"  # it is on disk, to be sent again
    LEFT = "LEFT"  # the queue was closed first


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an attempt.

    `retry_after`: the least seconds to wait, as the server says. `refused`: how many events of a
    batch that is STORED the server refused.
    """

    fate: Fate
    retry_after: float = 0.0
    refused: int = 0


class Delivery:
    """Sends batches through a channel, which `channel` gives when it is needed.

    `around`: each attempt is made inside of it, with the metadata that it gives.
    """

    def __init__(self, channel: Callable[[], grpc.Channel]) -> None:
        self.around: Around = nothing_around
        self._channel = channel
        self._report: _Call | None = None
        self._limited_log = LogLimit(log)

    def attempt(self, batch: Batch, seconds: float, attempts: int) -> Answer:
        """Send a batch, for the `attempts`th time, and wait at most `seconds` for the answer."""
        try:
            if self._report is None:
                self._report = self._channel().unary_unary(
                    METHOD,
                    request_serializer=request_of,
                    response_deserializer=event_service_pb2.ReportEventsResponse.FromString,
                )
            with self.around(batch) as more:
                metadata = ((REQUEST_ID, batch.request_id), *more)
                response = self._report(batch.payload, timeout=seconds, metadata=metadata)
        except grpc.RpcError as error:
            return self._failed(error, batch, attempts)
        except NoChannel:
            return Answer(Fate.LATER)
        except ValueError:  # what gRPC raises for a channel that was closed meanwhile
            self._report = None
            return Answer(Fate.LATER)
        return self._stored(response, batch)

    def after_fork(self) -> None:
        """Forget the parent's channel."""
        self._report = None
        self._limited_log = LogLimit(log)

    def _stored(self, response: event_service_pb2.ReportEventsResponse, batch: Batch) -> Answer:
        """Note what the server has not taken of a batch that is stored."""
        refused = max(0, min(response.refused_count, batch.size))
        if refused:
            self._limited_log.warning(
                "events refused",
                "%d of %d events of batch %s were refused for good: %s",
                refused,
                batch.size,
                batch.request_id,
                next((each.reason for each in response.refused_events), "the server says no more"),
            )
        if response.left_out:
            self._limited_log.warning(
                "left out",
                "the server left out %d entries of batch %s, but stored its events: %s",
                len(response.left_out),
                batch.request_id,
                response.left_out[0],
            )
        return Answer(Fate.STORED, refused=refused)

    def _failed(self, error: grpc.RpcError, batch: Batch, attempts: int) -> Answer:
        status, details = grpc.StatusCode.UNKNOWN, str(error)
        if isinstance(error, grpc.Call):
            status, details = error.code(), error.details()
        if status in UNTIL_IT_WORKS or (status in SOME_TIMES and attempts < MOST_ATTEMPTS):
            if attempts >= ATTEMPTS_BEFORE_WARNING:
                self._limited_log.warning(
                    "retry",
                    "events cannot be delivered at present, and wait: batch %s: %s: %s",
                    batch.request_id,
                    status.name,
                    details,
                )
            return Answer(Fate.LATER, _retry_after(error))
        self._limited_log.warning(
            status.name,
            "batch %s of %d events was refused for good and is dropped: %s: %s",
            batch.request_id,
            batch.size,
            status.name,
            details,
        )
        return Answer(Fate.REFUSED)


def request_of(payload: bytes) -> bytes:
    """Return a serialized ReportEventsRequest whose field 1 is a serialized batch."""
    return b"\x0a" + varint(len(payload)) + payload


def _retry_after(error: grpc.RpcError) -> float:
    """Return the seconds that the server asks to wait, 0 where it does not say."""
    if not isinstance(error, grpc.Call):
        return 0.0
    for key, value in error.trailing_metadata() or ():
        if key == RETRY_AFTER and isinstance(value, str) and value.isdecimal():
            return min(LONGEST_RETRY_AFTER_SECONDS, int(value) / 1_000)
    return 0.0
