"""A server in a process of its own that streams some flags and takes all events."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from benchmarks.flags import make_snapshot
from tidegate import wire
from tidegate.v1 import assignment_service_pb2, event_service_pb2


@contextmanager
def flag_server(flags: int) -> Iterator[str]:
    """Start a server with so many flags beside those always there; return its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flag_server", str(flags)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


class Server:
    """Sends one snapshot, then heartbeats."""

    def __init__(self, flags: int) -> None:
        self._snapshot = assignment_service_pb2.WatchFlagsResponse(
            snapshot=wire.snapshot_to_message(make_snapshot(flags))
        )

    def watch_flags(
        self,
        request: assignment_service_pb2.WatchFlagsRequest,
        context: grpc.ServicerContext,
    ) -> Iterator[assignment_service_pb2.WatchFlagsResponse]:
        """Serve AssignmentService.WatchFlags."""
        ended = threading.Event()
        context.add_callback(ended.set)
        yield self._snapshot
        heartbeat = assignment_service_pb2.Heartbeat(revision=1, interval_ms=5_000)
        while not ended.wait(5):
            yield assignment_service_pb2.WatchFlagsResponse(heartbeat=heartbeat)

    def report_events(
        self, request: event_service_pb2.ReportEventsRequest, context: grpc.ServicerContext
    ) -> event_service_pb2.ReportEventsResponse:
        """Serve EventService.ReportEvents."""
        return event_service_pb2.ReportEventsResponse(accepted_count=len(request.batch.values))

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Return both methods by name."""
        watch = grpc.unary_stream_rpc_method_handler(
            self.watch_flags,
            assignment_service_pb2.WatchFlagsRequest.FromString,
            assignment_service_pb2.WatchFlagsResponse.SerializeToString,
        )
        report = grpc.unary_unary_rpc_method_handler(
            self.report_events,
            event_service_pb2.ReportEventsRequest.FromString,
            event_service_pb2.ReportEventsResponse.SerializeToString,
        )
        named = grpc.method_handlers_generic_handler
        return [
            named("tidegate.v1.AssignmentService", {"WatchFlags": watch}),
            named("tidegate.v1.EventService", {"ReportEvents": report}),
        ]


def main() -> None:
    """Serve until the process is ended."""
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(Server(int(sys.argv[1])).handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
