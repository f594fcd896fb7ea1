"""GetSeries and GetDistribution, over the wire, with a worker at work."""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from statistics import fmean

import grpc
import pytest

from tests.server.rpc.test_events_and_reports import ReportStub, Stub
from tests.server.rpc.test_flags import create, draft
from tidegate.v1 import (
    event_service_pb2,
    event_service_pb2_grpc,
    flag_service_pb2_grpc,
    report_service_pb2_grpc,
)
from tidegate.v1 import report_service_pb2 as messages

TEN_S = 10_000
NOW_MS = int(time.time() * 1_000) // TEN_S * TEN_S
BASE_MS = NOW_MS - 600_000
"""Events are of the ten minutes from then on."""

UNITS = 300
OUTCOMES = ("", "latency_ms", "rating")
VALUES: dict[str, Callable[[int], float]] = {
    "": lambda _: 1.0,
    "latency_ms": lambda number: 100.25 + number % 7 + 50 * (number % 2),
    "rating": lambda number: float(number % 5 + 1),
}


@pytest.fixture
async def flag(channel: grpc.aio.Channel) -> None:
    await create(flag_service_pb2_grpc.FlagServiceStub(channel), draft(v1=50, v2=50))


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return event_service_pb2_grpc.EventServiceStub(channel)


@pytest.fixture
def reports(channel: grpc.aio.Channel) -> ReportStub:
    return report_service_pb2_grpc.ReportServiceStub(channel)


def time_of(number: int) -> int:
    return BASE_MS + 1_999 * number


async def send(stub: Stub, *, outside: bool = False) -> None:
    """Report what UNITS units did, under v1 and v2 by turns."""
    batch = event_service_pb2.EventBatch(batch_id=uuid.uuid4().bytes, base_time_ms=BASE_MS)
    for outcome in OUTCOMES:
        for variant in ("v1", "v2"):
            batch.series.add(
                flag_key="chat-model",
                variant=variant,
                phase=1,
                outcome=outcome,
                outside_split=outside,
            )
    for number in range(UNITS):
        for place, outcome in enumerate(OUTCOMES):
            batch.series_indexes.append(2 * place + number % 2)
            batch.unit_hashes.append(number * 0x9E3779B97F4A7C15 % 2**64)
            batch.time_offsets_ms.append(time_of(number) - BASE_MS)
            batch.values.append(VALUES[outcome](number))
    answer = await stub.ReportEvents(event_service_pb2.ReportEventsRequest(batch=batch))
    assert answer.accepted_count == UNITS * len(OUTCOMES)


def series_request(
    resolution: "messages.Resolution.ValueType", start_ms: int = 0, end_ms: int = 0
) -> messages.GetSeriesRequest:
    """Ask from `start_ms` to `end_ms`; 0 leaves them out."""
    request = messages.GetSeriesRequest(flag_key="chat-model", resolution=resolution)
    if start_ms:
        request.start_time.FromMilliseconds(start_ms)
    if end_ms:
        request.end_time.FromMilliseconds(end_ms)
    return request


async def all_series(
    reports: ReportStub, request: messages.GetSeriesRequest, events: int
) -> dict[tuple[str, str], messages.OutcomeSeries]:
    """Ask until so many events of each outcome are counted."""
    async with asyncio.timeout(20):
        while True:
            found = (await reports.GetSeries(request)).series
            counts = defaultdict(int, dict.fromkeys(OUTCOMES, 0))
            for each in found:
                counts[each.outcome] += sum(point.count for point in each.points)
            if set(counts.values()) == {events}:
                return {(each.variant, each.outcome): each for each in found}


@pytest.mark.parametrize(
    ("resolution", "length_ms"),
    [
        (messages.RESOLUTION_TEN_SECONDS, TEN_S),
        (messages.RESOLUTION_MINUTE, 60_000),
        (messages.RESOLUTION_HOUR, 3_600_000),
    ],
)
async def test_series_are_those_of_the_events(
    flag: None,
    stub: Stub,
    reports: ReportStub,
    resolution: "messages.Resolution.ValueType",
    length_ms: int,
) -> None:
    await send(stub, outside=True)
    await send(stub)
    found = await all_series(reports, series_request(resolution), UNITS)
    assert found.keys() == {(variant, name) for variant in ("v1", "v2") for name in OUTCOMES}
    for (variant, outcome), series in found.items():
        expected = defaultdict(list)
        for number in range(variant == "v2", UNITS, 2):
            start_ms = time_of(number) // length_ms * length_ms
            expected[start_ms].append(VALUES[outcome](number))
        assert [point.start_time.ToMilliseconds() for point in series.points] == sorted(expected)
        for point, values in zip(series.points, expected.values(), strict=True):
            values.sort()
            assert point.count == len(values)
            assert point.mean == pytest.approx(fmean(values))
            assert point.HasField("p50") == bool(outcome)
            if outcome:
                middle = values[(len(values) - 1) // 2]
                assert point.p50 == pytest.approx(middle, rel=0.031)
                assert point.p99 == pytest.approx(values[-1], rel=0.031)
    ratings = found["v1", "rating"].points
    assert {point.p50 for point in ratings} <= {1.0, 2.0, 3.0, 4.0, 5.0}, "exact"


async def test_only_windows_that_begin_in_the_range_are_told(
    flag: None, stub: Stub, reports: ReportStub
) -> None:
    await send(stub)
    await all_series(reports, series_request(messages.RESOLUTION_TEN_SECONDS), UNITS)
    start_ms, end_ms = BASE_MS + 5 * TEN_S, BASE_MS + 9 * TEN_S
    answer = await reports.GetSeries(
        series_request(messages.RESOLUTION_TEN_SECONDS, start_ms, end_ms)
    )
    assert answer.read_time.ToMilliseconds() >= NOW_MS
    assert len(answer.series) == 6
    for series in answer.series:
        starts = [point.start_time.ToMilliseconds() for point in series.points]
        assert starts == list(range(start_ms, end_ms, TEN_S))


async def test_a_flag_without_events_has_no_series(flag: None, reports: ReportStub) -> None:
    answer = await reports.GetSeries(series_request(messages.RESOLUTION_MINUTE))
    assert not answer.series


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (series_request(messages.RESOLUTION_UNSPECIFIED), "resolution: 0 is none; give one of"),
        (series_request(messages.RESOLUTION_MINUTE, NOW_MS, NOW_MS), "start_time:"),
        (
            series_request(messages.RESOLUTION_TEN_SECONDS, NOW_MS - 200_000_000),
            "give at most 31 h",
        ),
    ],
)
async def test_a_range_that_cannot_be_is_refused_by_field(
    flag: None, reports: ReportStub, request_: messages.GetSeriesRequest, words: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reports.GetSeries(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (caught.value.details() or "")


async def test_distributions_are_those_of_the_values(
    flag: None, stub: Stub, reports: ReportStub
) -> None:
    await send(stub, outside=True)
    await send(stub)
    await all_series(reports, series_request(messages.RESOLUTION_MINUTE), UNITS)
    for outcome, exact in (("latency_ms", False), ("rating", True)):
        answer = await reports.GetDistribution(
            messages.GetDistributionRequest(flag_key="chat-model", outcome=outcome, phase=1)
        )
        assert [each.variant for each in answer.distributions] == ["v1", "v2"]
        for own in answer.distributions:
            numbers = range(own.variant == "v2", UNITS, 2)
            values = sorted(VALUES[outcome](number) for number in numbers)
            assert own.count == len(values) == sum(each.count for each in own.bins)
            left = list(values)
            for each in own.bins:
                inside = [value for value in left if each.lower <= value <= each.upper]
                assert len(inside) == each.count
                assert (each.lower == each.upper) is exact
                left = left[len(inside) :]
            for percent, told in enumerate(own.percentiles, 1):
                value = values[max(0, -(-percent * len(values) // 100) - 1)]
                assert told == pytest.approx(value, rel=0.008)
            assert len(own.percentiles) == 99


@pytest.mark.parametrize(("outcome", "phase"), [("latency", 0), ("latency_ms", 7), ("", 0)])
async def test_a_distribution_of_nothing_is_refused_by_field(
    flag: None, stub: Stub, reports: ReportStub, outcome: str, phase: int
) -> None:
    await send(stub)
    await all_series(reports, series_request(messages.RESOLUTION_MINUTE), UNITS)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reports.GetDistribution(
            messages.GetDistributionRequest(flag_key="chat-model", outcome=outcome, phase=phase)
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith("outcome:")
