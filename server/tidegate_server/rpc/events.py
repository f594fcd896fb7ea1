"""EventService: intake of events."""

from tidegate.v1 import event_service_pb2, event_service_pb2_grpc
from tidegate_server.ports import EventLog
from tidegate_server.rpc.errors import Context
from tidegate_server.wire import decode_batch


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    """Checks batches and appends them; answers when they are in the store."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def ReportEvents(
        self, request: event_service_pb2.ReportEventsRequest, context: Context
    ) -> event_service_pb2.ReportEventsResponse:
        """Store a batch, once however often it is sent."""
        payload = request.batch.SerializeToString()
        batch_id, events = decode_batch(payload)
        stored = await self._log.append(batch_id, payload)
        return event_service_pb2.ReportEventsResponse(
            accepted_count=len(events.value), duplicate=not stored
        )
