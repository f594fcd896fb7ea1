"""A real gRPC server on 127.0.0.1 whose behaviour a test scripts."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from tidegate import wire
from tidegate.model import Change, Snapshot
from tidegate.v1 import assignment_service_pb2, event_service_pb2

Response = assignment_service_pb2.WatchFlagsResponse
Batch = event_service_pb2.EventBatch


class FakeServer:
    """Sends what a test says, and keeps what it is sent.

    `first`: what each new stream begins with. `send` and `end_stream` act on the stream that is
    open; `streams` counts the streams so far. `answers` holds what the next calls of ReportEvents
    do, in order: a status to end with, "store and fail" to store and then fail, an Event to wait
    for, or a number of events to refuse; without an entry a batch is stored. `retry_after_ms` goes
    with each status. `request_ids`: of all calls, of either kind. `traceparents`: of the
    attempts, "" where there was none. With `forgets` no batch is kept. `more`: handlers of other
    services.
    """

    def __init__(self) -> None:
        self.first: list[Response] = []
        self.answers: list[grpc.StatusCode | str | threading.Event | int] = []
        self.retry_after_ms: str | None = None
        self.forgets = False
        self.attempts: list[Batch] = []
        self.stored: dict[bytes, Batch] = {}
        self.streams = 0
        self.client_names: list[str] = []
        self.more: list[grpc.GenericRpcHandler] = []
        self.request_ids: list[str] = []
        self.traceparents: list[str] = []
        self._script: queue.Queue[Response | None] = queue.Queue()
        self._scripts: list[queue.Queue[Response | None]] = []
        self._seen = threading.Condition()
        self._server: grpc.Server | None = None
        self._port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen; after `stop`, on the same port again."""
        self._server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers(
            (
                *self.more,
                grpc.method_handlers_generic_handler(
                    "tidegate.v1.AssignmentService",
                    {
                        "WatchFlags": grpc.unary_stream_rpc_method_handler(
                            self._watch_flags,
                            assignment_service_pb2.WatchFlagsRequest.FromString,
                            Response.SerializeToString,
                        )
                    },
                ),
                grpc.method_handlers_generic_handler(
                    "tidegate.v1.EventService",
                    {
                        "ReportEvents": grpc.unary_unary_rpc_method_handler(
                            self._report_events,
                            event_service_pb2.ReportEventsRequest.FromString,
                            event_service_pb2.ReportEventsResponse.SerializeToString,
                        )
                    },
                ),
            )
        )
        self._port = self._server.add_insecure_port(self.address)
        self._server.start()

    def stop(self) -> None:
        assert self._server is not None
        self._script.put(None)
        self._server.stop(grace=None).wait()
        self._server = None

    def send(self, response: Response) -> None:
        self._script.put(response)

    def send_all(self, *responses: Response) -> None:
        """Send to all streams that were ever opened."""
        for script in self._scripts:
            for response in responses:
                script.put(response)

    def end_stream(self) -> None:
        self._script.put(None)

    def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until something that this server notices is so."""
        with self._seen:
            assert self._seen.wait_for(holds, seconds), "it did not come to pass"

    def events(self) -> list[tuple[str, str, int, str, float]]:
        """Return all stored events: flag, variant, phase, outcome and value."""
        found = []
        for batch in self.stored.values():
            for index, value in zip(batch.series_indexes, batch.values, strict=True):
                series = batch.series[index]
                found.append((series.flag_key, series.variant, series.phase, series.outcome, value))
        return found

    def _watch_flags(
        self, request: assignment_service_pb2.WatchFlagsRequest, context: grpc.ServicerContext
    ) -> Iterator[Response]:
        script = self._script = queue.Queue()
        self._scripts.append(script)
        with self._seen:
            self.streams += 1
            self.client_names.append(request.client_name)
            self.request_ids.append(_request_id(context))
            self._seen.notify_all()
        yield from self.first
        while context.is_active():
            try:
                item = script.get(timeout=0.2)
            except queue.Empty:
                continue
            if item is None:
                return
            yield item

    def _report_events(
        self, request: event_service_pb2.ReportEventsRequest, context: grpc.ServicerContext
    ) -> event_service_pb2.ReportEventsResponse:
        batch = request.batch
        if self.forgets:
            return event_service_pb2.ReportEventsResponse(accepted_count=len(batch.values))
        with self._seen:
            self.attempts.append(batch)
            self.request_ids.append(_request_id(context))
            sent = {key: str(value) for key, value in context.invocation_metadata()}
            self.traceparents.append(sent.get("traceparent", ""))
            answer = self.answers.pop(0) if self.answers else None
            self._seen.notify_all()
        if isinstance(answer, grpc.StatusCode):
            if self.retry_after_ms is not None:
                context.set_trailing_metadata((("retry-after-ms", self.retry_after_ms),))
            context.abort(answer, "as the test says")
        if isinstance(answer, threading.Event):
            answer.wait(20)
        duplicate = batch.batch_id in self.stored
        with self._seen:
            self.stored[batch.batch_id] = batch
            self._seen.notify_all()
        if answer == "store and fail":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer got lost")
        refused = answer if isinstance(answer, int) else 0
        return event_service_pb2.ReportEventsResponse(
            accepted_count=len(batch.values) - refused,
            duplicate=duplicate,
            refused_count=refused,
            refused_events=[
                event_service_pb2.RefusedEvent(index=index, reason=f"values[{index}]: wrong")
                for index in range(refused)
            ],
            left_out=[f"unit_ids[{index}]: wrong" for index in range(refused)],
        )


def _request_id(context: grpc.ServicerContext) -> str:
    (found,) = (value for key, value in context.invocation_metadata() if key == "x-request-id")
    assert isinstance(found, str)
    return found


def snapshot(value: Snapshot) -> Response:
    return Response(snapshot=wire.snapshot_to_message(value))


def change(value: Change) -> Response:
    return Response(change=wire.change_to_message(value))


def heartbeat(revision: int, interval_ms: int) -> Response:
    return Response(
        heartbeat=assignment_service_pb2.Heartbeat(revision=revision, interval_ms=interval_ms)
    )


@contextmanager
def fake_server(*first: Response) -> Iterator[FakeServer]:
    server = FakeServer()
    server.first = list(first)
    server.start()
    try:
        yield server
    finally:
        if server._server is not None:
            server.stop()
