"""From ReportEvents to GetReport, over the wire, with a worker at work."""

import asyncio
import time
import uuid
from typing import TypeAlias

import grpc
import pytest

from tests.server.rpc.test_flags import create, draft
from tidegate.v1 import (
    event_service_pb2 as messages,
)
from tidegate.v1 import (
    event_service_pb2_grpc,
    flag_service_pb2_grpc,
    report_service_pb2,
    report_service_pb2_grpc,
)

Stub: TypeAlias = "event_service_pb2_grpc.EventServiceAsyncStub"
ReportStub: TypeAlias = "report_service_pb2_grpc.ReportServiceAsyncStub"


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return event_service_pb2_grpc.EventServiceStub(channel)


@pytest.fixture
def reports(channel: grpc.aio.Channel) -> ReportStub:
    return report_service_pb2_grpc.ReportServiceStub(channel)


@pytest.fixture
async def flag(channel: grpc.aio.Channel) -> None:
    await create(flag_service_pb2_grpc.FlagServiceStub(channel), draft(v1=50, v2=50))


def batch(units: int = 300) -> messages.EventBatch:
    """Return events of the last second, of many units: v2 takes 10 ms longer than v1."""
    begun_ms = int(time.time() * 1_000) - 1_000
    made = messages.EventBatch(batch_id=uuid.uuid4().bytes, base_time_ms=begun_ms)
    for variant in ("v1", "v2"):
        made.series.add(flag_key="chat-model", variant=variant, phase=1, outcome="latency_ms")
    for number in range(units):
        made.series_indexes.append(number % 2)
        made.unit_hashes.append(number * 0x9E3779B97F4A7C15 % 2**64)
        made.time_offsets_ms.append(number)
        made.values.append(100 + 10 * (number % 2) + number % 7)
    return made


async def counts(reports: ReportStub) -> dict[str, int]:
    request = report_service_pb2.GetReportRequest(flag_key="chat-model")
    report = (await reports.GetReport(request)).report
    return {each.variant: each.outcomes[0].count for each in report.variants if each.outcomes}


async def counted(reports: ReportStub, wanted: dict[str, int]) -> None:
    """Ask until the worker has counted what is wanted."""
    async with asyncio.timeout(20):
        while await counts(reports) != wanted:  # noqa: ASYNC110 - no event tells of a fold
            await asyncio.sleep(0.02)


async def test_events_become_a_report_with_a_comparison(
    flag: None, stub: Stub, reports: ReportStub
) -> None:
    sent = batch()
    answer = await stub.ReportEvents(messages.ReportEventsRequest(batch=sent))
    assert (answer.accepted_count, answer.duplicate) == (300, False)
    await counted(reports, {"v1": 150, "v2": 150})
    request = report_service_pb2.GetReportRequest(flag_key="chat-model")
    report = (await reports.GetReport(request)).report
    v1 = report.variants[0].outcomes[0]
    assert v1.sum == sum(sent.values[0::2])
    assert v1.rate_per_second == pytest.approx(150 / 0.298, rel=0.02)
    assert v1.p50 < v1.p90 == pytest.approx(105, rel=0.01)
    statistics = {each.statistic for each in report.comparisons}
    assert statistics == set(report_service_pb2.Statistic.values()) - {0}
    mean = next(
        each for each in report.comparisons if each.statistic == report_service_pb2.STATISTIC_MEAN
    )
    assert mean.estimate.difference == pytest.approx(10, abs=0.5)
    assert mean.estimate.difference_lower > 9
    assert mean.estimate.p_value < 1e-6
    assert mean.estimate.better == report_service_pb2.BETTER_CONTROL
    assert mean.estimate.effect_size == report_service_pb2.EFFECT_SIZE_LARGE


async def test_a_batch_sent_thrice_is_counted_once(
    flag: None, stub: Stub, reports: ReportStub
) -> None:
    request = messages.ReportEventsRequest(batch=batch())
    answers = [await stub.ReportEvents(request) for _ in range(3)]
    assert [answer.duplicate for answer in answers] == [False, True, True]
    await stub.ReportEvents(messages.ReportEventsRequest(batch=batch(2)))
    await counted(reports, {"v1": 151, "v2": 151})


async def test_refused_events_are_reported_as_lost(
    flag: None, stub: Stub, reports: ReportStub
) -> None:
    wrong = batch()
    for index in (16, 17, 19):
        wrong.values[index] = float("nan")
    answer = await stub.ReportEvents(messages.ReportEventsRequest(batch=wrong))
    assert (answer.accepted_count, answer.refused_count) == (297, 3)
    assert answer.refused_events[1].reason.startswith("values[17]: nan")
    await counted(reports, {"v1": 149, "v2": 148})
    request = report_service_pb2.GetReportRequest(flag_key="chat-model")
    report = (await reports.GetReport(request)).report
    assert [each.dropped_events for each in report.variants] == [1, 2]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (report_service_pb2.GetReportRequest(flag_key="chat-model", control="v9"), "control"),
        (report_service_pb2.GetReportRequest(flag_key="chat-model", phase=9), "phase"),
    ],
)
async def test_a_report_that_cannot_be_is_refused_by_field(
    flag: None,
    reports: ReportStub,
    request_: report_service_pb2.GetReportRequest,
    words: str,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reports.GetReport(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (caught.value.details() or "")


async def test_events_outside_the_split_are_counted_apart(
    flag: None, stub: Stub, reports: ReportStub
) -> None:
    staff = batch(20)
    for series in staff.series:
        series.outside_split = True
    await stub.ReportEvents(messages.ReportEventsRequest(batch=staff))
    await stub.ReportEvents(messages.ReportEventsRequest(batch=batch(100)))
    await counted(reports, {"v1": 50, "v2": 50})
    request = report_service_pb2.GetReportRequest(flag_key="chat-model")
    async with asyncio.timeout(20):
        while True:
            variants = (await reports.GetReport(request)).report.variants
            if [each.outside_split_events for each in variants] == [10, 10]:
                return
