"""A server with more batches under way than it takes, and a store that does not answer for now."""

import asyncio
import time

import grpc
import pytest
from redis.asyncio import Redis

from tests.server.rpc.test_events_and_reports import batch, counted
from tests.server.rpc.test_flags import create, draft
from tidegate.v1 import event_service_pb2 as messages
from tidegate.v1 import event_service_pb2_grpc, flag_service_pb2_grpc, report_service_pb2_grpc
from tidegate_server.rpc import events
from tidegate_server.rpc.byte_limit import ByteLimit
from tidegate_server.rpc.errors import RETRY_AFTER

UNITS, BATCHES, ROOM = 100, 20, 3
SIZE = len(messages.ReportEventsRequest(batch=batch(UNITS)).SerializeToString())
PAUSE_MS = 500


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "ByteLimit", lambda: ByteLimit(ROOM * SIZE))


@pytest.fixture
def server(small_limit: None, channel: grpc.aio.Channel) -> grpc.aio.Channel:
    return channel


async def test_a_busy_server_refuses_at_once_and_what_is_sent_again_is_counted_once(
    server: grpc.aio.Channel, client: Redis
) -> None:
    stub: event_service_pb2_grpc.EventServiceAsyncStub
    stub = event_service_pb2_grpc.EventServiceStub(server)
    reports: report_service_pb2_grpc.ReportServiceAsyncStub
    reports = report_service_pb2_grpc.ReportServiceStub(server)
    await create(flag_service_pb2_grpc.FlagServiceStub(server), draft(v1=50, v2=50))
    await stub.ReportEvents(messages.ReportEventsRequest(batch=batch(UNITS)))
    waits: list[tuple[float, int]] = []

    async def send(request: messages.ReportEventsRequest) -> None:
        while True:
            began = time.monotonic()
            try:
                await stub.ReportEvents(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                wait_ms = int(error.trailing_metadata()[RETRY_AFTER])
                waits.append((time.monotonic() - began, wait_ms))
                await asyncio.sleep(wait_ms / 1_000)
            else:
                return

    await client.client_pause(PAUSE_MS, all=False)
    requests = [messages.ReportEventsRequest(batch=batch(UNITS)) for _ in range(BATCHES)]
    await asyncio.gather(*map(send, requests))
    assert len(waits) >= BATCHES - ROOM
    assert min(answered for answered, _ in waits) < PAUSE_MS / 2_000, "it refuses without the store"
    assert all(100 <= wait_ms <= 300 for _, wait_ms in waits)
    each = (BATCHES + 1) * UNITS // 2
    await counted(reports, {"v1": each, "v2": each})
