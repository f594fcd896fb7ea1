"""What servers and workers count, at work on a real store."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.e2e.calls import split_messages
from tests.server.rpc.test_events_and_reports import batch, counted
from tests.server.rpc.test_flags import create, draft
from tests.server.signals.conftest import Roles
from tests.server.signals.scraping import Samples
from tidegate.model import Revision
from tidegate.v1 import (
    assignment_service_pb2,
    assignment_service_pb2_grpc,
    event_service_pb2_grpc,
    flag_service_pb2,
    flag_service_pb2_grpc,
    report_service_pb2,
    report_service_pb2_grpc,
)
from tidegate.v1 import event_service_pb2 as messages
from tidegate_server.domain.events import Shard
from tidegate_server.services.watchers import Watchers
from tidegate_server.signals import figures
from tidegate_server.signals.live import MOST_REVISIONS, ServerState
from tidegate_server.storage.keys import ShardKeys

FlagStub: TypeAlias = "flag_service_pb2_grpc.FlagServiceAsyncStub"
EventStub: TypeAlias = "event_service_pb2_grpc.EventServiceAsyncStub"
ReportStub: TypeAlias = "report_service_pb2_grpc.ReportServiceAsyncStub"
WatchStub: TypeAlias = "assignment_service_pb2_grpc.AssignmentServiceAsyncStub"


@pytest.fixture
async def flags(roles: Roles) -> FlagStub:
    return flag_service_pb2_grpc.FlagServiceStub(roles.channel)


@pytest.fixture
async def events(roles: Roles) -> EventStub:
    return event_service_pb2_grpc.EventServiceStub(roles.channel)


@pytest.fixture
async def reports(roles: Roles) -> ReportStub:
    return report_service_pb2_grpc.ReportServiceStub(roles.channel)


async def until(
    scrape: Callable[[], Awaitable[Samples]], right: Callable[[Samples], bool]
) -> Samples:
    """Scrape until what is found is right."""
    async with asyncio.timeout(20):
        while not right(found := await scrape()):  # noqa: ASYNC110 - nobody tells of a new figure
            await asyncio.sleep(0.02)
    return found


async def test_calls_are_counted_by_method_and_status(roles: Roles, flags: FlagStub) -> None:
    before = await roles.server()
    await create(flags, draft())
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError):
            await flags.GetFlag(flag_service_pb2.GetFlagRequest(key="none"))
    after = await roles.server()

    def more(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    name = "tidegate_requests_total"
    assert more(name, method="FlagService/CreateFlag", code="OK") == 1
    assert more(name, method="FlagService/GetFlag", code="NOT_FOUND") == 3
    name = "tidegate_request_duration_seconds"
    assert more(f"{name}_count", method="FlagService/GetFlag") == 3
    assert 0 < more(f"{name}_sum", method="FlagService/CreateFlag") < 20


async def test_batches_and_events_are_counted_from_intake_to_fold(
    roles: Roles, flags: FlagStub, events: EventStub, reports: ReportStub
) -> None:
    await create(flags, draft(v1=50, v2=50))
    before, folded_before = await roles.server(), await roles.worker()
    good, wrong = batch(200), batch(100)
    wrong.values[7] = float("nan")
    wrong.dropped_events.add(flag_key="chat-model", variant="v1", phase=1, count=40)
    for each in (good, good, wrong):
        await events.ReportEvents(messages.ReportEventsRequest(batch=each))
    with pytest.raises(grpc.aio.AioRpcError):
        await events.ReportEvents(messages.ReportEventsRequest(batch=batch(0)))
    await counted(reports, {"v1": 150, "v2": 149})
    after = await roles.server()

    def more(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    results = ("stored", "duplicate", "refused", "deferred")
    assert [more("tidegate_batches_total", result=each) for each in results] == [2, 1, 1, 0]
    assert more("tidegate_events_total", result="accepted") == 299
    assert more("tidegate_events_total", result="refused") == 1
    assert more("tidegate_dropped_events_total") == 40
    assert more("tidegate_batch_bytes_total") > 2 * good.ByteSize() + wrong.ByteSize()
    name = "tidegate_folded_events_total"
    folded = await until(roles.worker, lambda s: s.value(name) - folded_before.value(name) == 299)
    name = "tidegate_folded_batches_total"
    assert folded.value(name) - folded_before.value(name) == 2


async def test_a_worker_tells_of_its_shards_and_what_waits_there(
    roles: Roles, client: Redis, environment: str
) -> None:
    found = await until(roles.worker, lambda s: len(s.all_of("tidegate_fold_lag_seconds")) == 2)
    assert found.value("tidegate_worker_shards") == 2
    assert set(found.all_of("tidegate_backlog_bytes")) == {("fold", "0"), ("fold", "1")}
    before = found.value("tidegate_set_aside_batches_total")
    keys = ShardKeys(environment, Shard(0))
    await client.xadd(keys.stream, {"b": b"not a batch"})
    name = "tidegate_set_aside_batches_total"
    await until(roles.worker, lambda s: s.value(name) == before + 1)


async def test_watchers_are_counted_by_revision(roles: Roles, flags: FlagStub) -> None:
    stub: WatchStub = assignment_service_pb2_grpc.AssignmentServiceStub(roles.channel)
    streams = [stub.WatchFlags(assignment_service_pb2.WatchFlagsRequest()) for _ in range(3)]
    for stream in streams:
        await anext(aiter(stream))
    await until(roles.server, lambda s: s.value("tidegate_watchers", revision="0") == 3)
    await create(flags, draft())
    found = await until(roles.server, lambda s: s.value("tidegate_watchers", revision="1") == 3)
    assert found.value("tidegate_watchers_behind") == 0
    assert found.value("tidegate_config_revision") == 1
    assert found.value("tidegate_config_flags") == 1
    assert found.value("tidegate_store_connected") == 1
    for stream in streams:
        stream.cancel()
    await until(roles.server, lambda s: s.value("tidegate_watchers", revision="1") == 0)


class Feed:
    """Stands in for ConfigFeed, at a revision that no watcher has reached."""

    connected = False

    class snapshot:  # noqa: N801 - as the attribute
        revision = Revision(20)
        flags = ("a", "b")


def test_few_revisions_are_told_apart() -> None:
    watchers = Watchers()
    arrived = [watchers.one_more("app") for _ in range(20)]
    for number, each in enumerate(arrived):
        each.__enter__().revision = Revision(number)
    metrics = ServerState(Feed(), watchers).collect()  # type: ignore[arg-type]
    found = {each.name: each.samples for each in metrics}
    watching = {each.labels["revision"]: each.value for each in found["tidegate_watchers"]}
    assert watching == {"19": 1, "18": 1, "17": 1, "16": 1, "15": 1, "older": 20 - MOST_REVISIONS}
    assert found["tidegate_watchers_behind"][0].value == 20
    assert found["tidegate_store_connected"][0].value == 0
    for each in arrived:
        each.__exit__(None, None, None)
    assert not watchers.counts()


async def test_figures_are_those_of_the_report_of_the_current_phase(
    roles: Roles, flags: FlagStub, events: EventStub, reports: ReportStub
) -> None:
    await create(flags, draft(v1=50, v2=50))
    await events.ReportEvents(messages.ReportEventsRequest(batch=batch(100)))
    split = split_messages({"v1": 25, "v2": 75})
    await flags.UpdateSplit(flag_service_pb2.UpdateSplitRequest(key="chat-model", split=split))
    now = batch(300)
    for each in now.series:
        each.phase = 2
    now.series.add(flag_key="chat-model", variant="v2", phase=2, outcome="error")
    now.series_indexes.extend([2] * 4)
    now.unit_hashes.extend(now.unit_hashes[:4])
    now.time_offsets_ms.extend([5] * 4)
    now.values.extend([1, 0, 0, 0])
    await events.ReportEvents(messages.ReportEventsRequest(batch=now))
    await counted(reports, {"v1": 200, "v2": 4})  # latencies of v1, errors of v2
    request = report_service_pb2.GetReportRequest(flag_key="chat-model", phase=2)
    report = (await reports.GetReport(request)).report
    found = await until(
        roles.server, lambda s: s.value("tidegate_flag_phase", flag="chat-model") == 2
    )
    labels = {"flag": "chat-model"}
    for variant in report.variants:
        labels["variant"] = variant.variant
        assert found.value("tidegate_variant_share_ratio", **labels) == variant.share_ppm / 1e6
        assert found.value("tidegate_variant_units", **labels) == variant.units > 0
        assert found.value("tidegate_variant_exposures", **labels) == variant.exposures
        assert found.value("tidegate_variant_dropped_events", **labels) == variant.dropped_events
        for outcome in variant.outcomes:
            of = {**labels, "outcome": outcome.outcome}
            assert found.value("tidegate_outcome_events", **of) == outcome.count > 0
            assert found.value("tidegate_outcome_mean", **of) == outcome.mean
            assert found.value("tidegate_outcome_p50", **of) == outcome.p50
            assert found.value("tidegate_outcome_p95", **of) == outcome.p95
            assert found.value("tidegate_outcome_p99", **of) == outcome.p99
    assert found.value("tidegate_variant_error_ratio", **labels) == 0.25


async def test_figures_are_bounded_and_kept_for_a_while(
    roles: Roles, flags: FlagStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "KEPT_SECONDS", 0.0)
    for key in ("first", "second", "third"):
        await create(flags, draft(key))
    found = await roles.server()
    assert set(found.all_of("tidegate_flag_phase")) == {("second",), ("third",)}
    assert found.value("tidegate_flags_left_out") == 1
    monkeypatch.setattr(figures, "KEPT_SECONDS", 1e9)
    await create(flags, draft("fourth"))
    assert set((await roles.server()).all_of("tidegate_flag_phase")) == {("second",), ("third",)}


async def test_a_scrape_goes_without_figures_while_the_store_does_not_answer(
    roles: Roles, flags: FlagStub, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "WAIT_SECONDS", 0.1)
    await create(flags, draft())
    await client.client_pause(1_000, all=True)
    with capture_logs() as lines:
        found = await roles.server()
    assert "tidegate_flag_phase" not in found.families
    assert found.value("tidegate_config_flags") == 1
    assert [each["cause"] for each in lines if each["event"] == "figures_left_out"] == [
        "TimeoutError"
    ]
