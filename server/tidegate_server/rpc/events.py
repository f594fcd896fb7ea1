"""EventService: intake of events."""

from functools import lru_cache

import grpc

from tidegate.errors import WireError
from tidegate.v1 import event_service_pb2
from tidegate_server.domain.intake import Sent, Sifted, Times, sift
from tidegate_server.errors import InvalidField, Retriable
from tidegate_server.ports import Clock, EventLog
from tidegate_server.rpc.byte_limit import ByteLimit
from tidegate_server.rpc.errors import Context, Handler
from tidegate_server.services.known_arms import KnownArms
from tidegate_server.signals.metrics import BATCH_BYTES, BATCHES, DROPPED_EVENTS, EVENTS
from tidegate_server.wire.batch import decode, encode_kept
from tidegate_server.wire.protobuf import embedded

SERVICE = "tidegate.v1.EventService"

_BATCH = 1
"""Number of the field `batch` of ReportEventsRequest."""

_STORED, _DUPLICATE = BATCHES.labels("stored"), BATCHES.labels("duplicate")
_REFUSED, _DEFERRED = BATCHES.labels("refused"), BATCHES.labels("deferred")
_ACCEPTED_EVENTS, _REFUSED_EVENTS = EVENTS.labels("accepted"), EVENTS.labels("refused")


class EventServicer:
    """Checks batches and appends them; answers when they are in the store.

    A batch in which nothing is wrong is stored as the bytes that came; otherwise it is made anew
    from what is right.
    """

    def __init__(
        self, log: EventLog, known: KnownArms, clock: Clock, limit: ByteLimit | None = None
    ) -> None:
        self._log = log
        self._known = known
        self._clock = clock
        self._limit = limit or ByteLimit()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service; by hand, because ReportEvents takes the request as bytes."""
        handlers: dict[str, Handler] = {
            "ReportEvents": grpc.unary_unary_rpc_method_handler(
                self.ReportEvents,
                None,
                event_service_pb2.ReportEventsResponse.SerializeToString,
            )
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def ReportEvents(
        self, request: bytes, context: Context
    ) -> event_service_pb2.ReportEventsResponse:
        """Store the batch of a serialized request, once however often it is sent."""
        BATCH_BYTES.inc(len(request))
        try:
            with self._limit.hold(len(request)):
                return await self._store(embedded(request, _BATCH))
        except (InvalidField, WireError):
            _REFUSED.inc()
            raise
        except Retriable:
            _DEFERRED.inc()
            raise

    async def _store(self, payload: bytes) -> event_service_pb2.ReportEventsResponse:
        batch = decode(payload)
        unknown = await self._known.problems_of(batch.sent)
        sifted = sift(batch.sent, unknown, batch.wrong_unit_ids(), Times.around(self._now_ms()))
        if not sifted.whole:
            payload = encode_kept(batch, sifted.kept, sifted.dropped)
        stored = True
        if len(sifted.kept) or sifted.dropped:
            stored = await self._log.append(batch.batch_id, payload)
        _count(batch.sent, sifted, stored=stored)
        return _answer(sifted, duplicate=not stored)

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1_000)


def _count(sent: Sent, sifted: Sifted, *, stored: bool) -> None:
    if not stored:
        _DUPLICATE.inc()
        return
    _STORED.inc()
    _ACCEPTED_EVENTS.inc(len(sifted.kept))
    if sifted.refused_count:
        _REFUSED_EVENTS.inc(sifted.refused_count)
    if sent.dropped:
        DROPPED_EVENTS.inc(sum(each.count for each in sent.dropped if not each.problem))


@lru_cache(64)
def _answer_to_whole(count: int, *, duplicate: bool) -> event_service_pb2.ReportEventsResponse:
    return event_service_pb2.ReportEventsResponse(accepted_count=count, duplicate=duplicate)


def _answer(sifted: Sifted, *, duplicate: bool) -> event_service_pb2.ReportEventsResponse:
    if sifted.whole:
        return _answer_to_whole(len(sifted.kept), duplicate=duplicate)
    return event_service_pb2.ReportEventsResponse(
        accepted_count=len(sifted.kept),
        duplicate=duplicate,
        refused_count=sifted.refused_count,
        refused_events=[
            event_service_pb2.RefusedEvent(index=each.index, reason=each.reason)
            for each in sifted.refused
        ],
        left_out=sifted.left_out,
    )
