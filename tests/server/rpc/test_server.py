"""Health, reflection, stopping, and a port that is taken."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.server.rpc.conftest import serving
from tidegate.v1 import assignment_service_pb2, assignment_service_pb2_grpc
from tidegate_server.bootstrap.server import run_server
from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import Settings

SERVICES = {
    "tidegate.v1.AssignmentService",
    "tidegate.v1.EventService",
    "tidegate.v1.ExperimentService",
    "tidegate.v1.FlagService",
    "tidegate.v1.ReportService",
    "tidegate.v1.SegmentService",
}


async def test_every_service_is_healthy_and_found_by_reflection(channel: grpc.aio.Channel) -> None:
    for service in SERVICES:
        await serving(channel, service)
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = await anext(aiter(stub.ServerReflectionInfo(iter([request]))))
    names = {service.name for service in answer.list_services_response.service}
    assert names > SERVICES | {"grpc.health.v1.Health"}


async def test_without_the_store_the_server_says_so_and_is_not_ready(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_server(away, stop))
        async with grpc.aio.insecure_channel(settings.listen) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            for service in ("", *SERVICES):
                request = health_pb2.HealthCheckRequest(service=service)
                answer = await stub.Check(request, wait_for_ready=True)
                assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        stop.set()


async def test_stopping_ends_streams_without_an_error(settings: Settings) -> None:
    stop = asyncio.Event()
    async with grpc.aio.insecure_channel(settings.listen) as channel:
        running = asyncio.create_task(run_server(settings, stop))
        await serving(channel)
        stub = assignment_service_pb2_grpc.AssignmentServiceStub(channel)
        stream = stub.WatchFlags(assignment_service_pb2.WatchFlagsRequest())
        await anext(aiter(stream))
        stop.set()
        assert [message async for message in stream if message.HasField("change")] == []
        assert await stream.code() is grpc.StatusCode.OK
        await asyncio.wait_for(running, 5)


@pytest.mark.usefixtures("channel")
async def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=settings.listen):
        await run_server(settings, asyncio.Event())
