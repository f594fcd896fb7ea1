"""Whether a server answers SERVING to gRPC's standard health check."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from tidegate.backoff import Backoff
from tidegate_server.controller.checks.outcome import PASSED, Outcome, Say

ATTEMPT_SECONDS = 5.0

_AGAIN = Backoff(first=0.5, longest=5.0)

_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
"""A connection of its own: one that failed before would be tried again only after a while."""


async def check_health(address: str, say: Say) -> Outcome:
    """Ask host:port until it answers SERVING; whoever calls sets the limit."""
    failures = 0
    while (said := await _ask(address)) != "SERVING":
        say(said)
        failures += 1
        await asyncio.sleep(_AGAIN.pause(failures))
    return PASSED


async def _ask(address: str) -> str:
    """Return the status that a server says it has, or why it says none."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            response = await check(health_pb2.HealthCheckRequest(), timeout=ATTEMPT_SECONDS)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))
