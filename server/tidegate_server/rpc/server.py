"""The gRPC server: services, health and reflection on one port."""

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tidegate.v1 import (
    experiment_service_pb2_grpc,
    flag_service_pb2_grpc,
    report_service_pb2_grpc,
    segment_service_pb2_grpc,
)
from tidegate_server.errors import ConfigurationError
from tidegate_server.rpc import assignment
from tidegate_server.rpc.assignment import AssignmentServicer
from tidegate_server.rpc.calls import CallsUnderWay
from tidegate_server.rpc.errors import StatusInterceptor
from tidegate_server.rpc.events import EventServicer
from tidegate_server.rpc.experiments import ExperimentServicer
from tidegate_server.rpc.flags import FlagServicer
from tidegate_server.rpc.replicas import SERVICE as REPLICA_SERVICE
from tidegate_server.rpc.replicas import ReplicaServicer
from tidegate_server.rpc.reports import ReportServicer
from tidegate_server.rpc.segments import SegmentServicer
from tidegate_server.signals.tracing import Tracing

STORE_SERVICES = (
    "tidegate.v1.FlagService",
    "tidegate.v1.EventService",
    "tidegate.v1.ReportService",
    "tidegate.v1.SegmentService",
    "tidegate.v1.ExperimentService",
    REPLICA_SERVICE,
)
"""Services that can do nothing without the store."""

OPTIONS = [
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a silent partner
    ("grpc.server.max_pending_requests", 20_000),  # a burst of watchers is not refused
    ("grpc.max_receive_message_length", 8 << 20),
    # None but identity: gRPC inflates a compressed message whole before it looks at its length.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # SDKs ask whether we live
    ("grpc.keepalive_time_ms", 30_000),
]


class Health:
    """What grpc.health.v1 says: "" and AssignmentService live on without the store."""

    def __init__(self) -> None:
        self._servicer = grpc_health.aio.HealthServicer()
        self._loaded = False

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the health service."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def note_store(self, connected: bool) -> None:
        """Say whether the store can be reached; once it was, flags are known for good."""
        await self._set(STORE_SERVICES, serving=connected)
        self._loaded = self._loaded or connected
        await self._set(("", assignment.SERVICE), serving=self._loaded)

    async def close(self) -> None:
        """Say NOT_SERVING of everything, for good."""
        await self._servicer.enter_graceful_shutdown()

    async def _set(self, services: tuple[str, ...], *, serving: bool) -> None:
        kinds = health_pb2.HealthCheckResponse
        for service in services:
            await self._servicer.set(service, kinds.SERVING if serving else kinds.NOT_SERVING)


def build(
    listen: str,
    *,
    flags: FlagServicer,
    segments: SegmentServicer,
    assignments: AssignmentServicer,
    events: EventServicer,
    reports: ReportServicer,
    experiments: ExperimentServicer,
    replicas: ReplicaServicer,
    health: Health,
    calls: CallsUnderWay,
    tracing: Tracing | None = None,
) -> grpc.aio.Server:
    """Return a server that is bound to `listen` ("host:port") but not started.

    Raises:
        ConfigurationError: the address can't be bound.
    """
    server = grpc.aio.server(interceptors=[StatusInterceptor(calls, tracing)], options=OPTIONS)
    flag_service_pb2_grpc.add_FlagServiceServicer_to_server(flags, server)
    segment_service_pb2_grpc.add_SegmentServiceServicer_to_server(segments, server)
    events.add_to(server)
    report_service_pb2_grpc.add_ReportServiceServicer_to_server(reports, server)
    experiment_service_pb2_grpc.add_ExperimentServiceServicer_to_server(experiments, server)
    replicas.add_to(server)
    assignments.add_to(server)
    health.add_to(server)
    names = (assignment.SERVICE, *STORE_SERVICES, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    try:
        server.add_insecure_port(listen)
    except RuntimeError as error:
        raise ConfigurationError(
            f"TIDEGATE_LISTEN: cannot listen on {listen}: the port may be taken by another "
            "process; stop it or choose another with --listen HOST:PORT"
        ) from error
    return server
