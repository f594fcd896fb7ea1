"""Intake of events over real gRPC: what is stored, what is refused, and what it costs."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from redis.asyncio import Redis

from tests.server.rpc.conftest import serving
from tests.server.rpc.test_flags import create, draft
from tests.server.wire.encodings import field, reencoded
from tidegate.delivery import METHOD
from tidegate.v1 import event_service_pb2 as messages
from tidegate.v1 import event_service_pb2_grpc, flag_service_pb2_grpc
from tidegate_server.bootstrap.server import run_server
from tidegate_server.domain.events import Shard
from tidegate_server.settings import Settings
from tidegate_server.storage.keys import ShardKeys


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server without a worker, with the flag `chat-model`."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_server(settings, stop))
        async with grpc.aio.insecure_channel(settings.listen) as opened:
            await serving(opened)
            await create(flag_service_pb2_grpc.FlagServiceStub(opened), draft(v1=50, v2=50))
            yield opened
        stop.set()


class Sender:
    """Sends batches, and reads what is stored."""

    def __init__(self, channel: grpc.aio.Channel, client: Redis, settings: Settings) -> None:
        self._channel = channel
        self._client = client
        self._settings = settings

    async def send(self, batch: messages.EventBatch) -> messages.ReportEventsResponse:
        stub: Any = event_service_pb2_grpc.EventServiceStub(self._channel)
        answer: messages.ReportEventsResponse = await stub.ReportEvents(
            messages.ReportEventsRequest(batch=batch)
        )
        return answer

    async def send_bytes(self, request: bytes) -> messages.ReportEventsResponse:
        call: Any = self._channel.unary_unary(
            METHOD, None, messages.ReportEventsResponse.FromString
        )
        answer: messages.ReportEventsResponse = await call(request)
        return answer

    async def stored(self) -> list[bytes]:
        """The payloads in the store, in no order."""
        found: list[bytes] = []
        for shard in range(self._settings.shards):
            keys = ShardKeys(self._settings.environment, Shard(shard))
            entries: Any = await self._client.xrange(keys.stream)
            found += [fields[b"b"] for _, fields in entries]
        return found

    async def stored_batch(self) -> messages.EventBatch:
        (payload,) = await self.stored()
        return messages.EventBatch.FromString(payload)


@pytest.fixture
def sender(server: grpc.aio.Channel, client: Redis, settings: Settings) -> Sender:
    return Sender(server, client, settings)


def batch(events: int = 6) -> messages.EventBatch:
    """Outcomes of both variants, now."""
    made = messages.EventBatch(
        batch_id=secrets.token_bytes(16), base_time_ms=int(time.time() * 1_000), format=1
    )
    for variant in ("v1", "v2"):
        made.series.add(flag_key="chat-model", variant=variant, phase=1, outcome="latency_ms")
    made.series_indexes.extend(number % 2 for number in range(events))
    made.unit_hashes.extend(range(events))
    made.time_offsets_ms.extend(range(events))
    made.values.extend(float(number) for number in range(events))
    made.unit_ids.extend(f"user-{number}" for number in range(events))
    return made


async def test_the_very_bytes_are_stored(sender: Sender) -> None:
    payload = reencoded(batch(), random.Random(3))
    half = len(payload) // 2
    request = field(9, b"unknown") + field(1, payload[:half]) + field(1, payload[half:])
    answer = await sender.send_bytes(request)
    assert answer == messages.ReportEventsResponse(accepted_count=6)
    assert await sender.stored() == [payload]
    assert await sender.send_bytes(request) == messages.ReportEventsResponse(
        accepted_count=6, duplicate=True
    )
    assert await sender.stored() == [payload]


async def test_wrong_events_are_refused_one_by_one(sender: Sender) -> None:
    wrong = batch(10)
    wrong.values[3] = float("nan")
    wrong.series_indexes[4] = 7
    wrong.series.add(flag_key="chat-model", variant="v7", phase=1, outcome="latency_ms")
    wrong.series_indexes[5] = 2
    wrong.time_offsets_ms[6] = 2**31 - 1
    wrong.series.add(flag_key="chat-model", variant="v1", phase=99, outcome="latency_ms")
    wrong.series_indexes[7] = 3
    wrong.unit_ids.append("a\x00b")
    wrong.dropped_events.add(flag_key="chat-model", variant="v2", phase=1, count=5)
    wrong.dropped_events.add(flag_key="chat-model", variant="v2", phase=1, count=-5)
    answer = await sender.send(wrong)
    assert (answer.accepted_count, answer.refused_count) == (5, 5)
    begins = [
        "values[3]: nan is out of range",
        "series_indexes[4]: 7 names none of the 4 series",
        "series[2].variant: flag 'chat-model' has no variant 'v7'",
        "time_offsets_ms[6]: its time",
        "series[3].phase: 99 is out of range",
    ]
    for each, index, begin in zip(answer.refused_events, range(3, 8), begins, strict=True):
        assert each.index == index
        assert each.reason.startswith(begin)
    assert [each.partition(":")[0] for each in answer.left_out] == [
        "dropped_events[1].count",
        "unit_ids[10]",
    ]
    stored = await sender.stored_batch()
    assert list(stored.values) == [0, 1, 2, 8, 9]
    assert list(stored.unit_hashes) == [0, 1, 2, 8, 9]
    assert len(stored.unit_ids) == 10
    lost = {each.variant: each.count for each in stored.dropped_events}
    assert lost == {"v1": 1, "v2": 6}, "the late one of v1, NaN of v2 and what the client told"


async def test_a_batch_of_which_all_is_refused_stores_no_more_than_its_losses(
    sender: Sender,
) -> None:
    unknown = batch()
    for series in unknown.series:
        series.flag_key = "nobody-knows"
    answer = await sender.send(unknown)
    assert (answer.accepted_count, answer.refused_count, answer.duplicate) == (0, 6, False)
    assert await sender.stored() == []
    late = batch()
    late.base_time_ms -= 401 * 86_400_000
    answer = await sender.send(late)
    assert (answer.accepted_count, answer.refused_count) == (0, 6)
    stored = await sender.stored_batch()
    assert not stored.values
    assert sum(each.count for each in stored.dropped_events) == 6


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (b"", "batch_id: has 0 bytes"),
        (b"\xff", "batch: is no tidegate.v1.EventBatch"),
        (b"\x0a\x7f", "batch: is no tidegate.v1.EventBatch"),
        (b"\x08\x01", "batch: is no tidegate.v1.EventBatch"),
        (field(1, field(1, bytes(16)) + b"\x50\x02"), "format: 2 is not known"),
    ],
)
async def test_what_is_no_batch_is_refused_for_good(
    sender: Sender, request_: bytes, problem: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sender.send_bytes(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith(problem)


async def test_reflection_tells_of_the_service(server: grpc.aio.Channel) -> None:
    make: Any = reflection_pb2_grpc.ServerReflectionStub
    stub = make(server)
    asked = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="tidegate.v1.EventService"
    )
    async for answer in stub.ServerReflectionInfo(iter([asked])):
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(each)
            for each in answer.file_descriptor_response.file_descriptor_proto
        ]
        assert "ReportEvents" in [
            method.name for each in files for service in each.service for method in service.method
        ]
        break
