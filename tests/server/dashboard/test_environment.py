"""One environment as the dashboard knows it, from a real server."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e.calls import split_messages
from tests.server.domain.experiments.samples import PLAN
from tests.server.rpc.conftest import serving
from tests.server.rpc.test_events_and_reports import batch
from tests.server.rpc.test_flags import create, draft
from tidegate.v1 import (
    event_service_pb2,
    event_service_pb2_grpc,
    experiment_service_pb2,
    experiment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
    report_service_pb2,
    report_service_pb2_grpc,
)
from tidegate_server import embedded_store
from tidegate_server.bootstrap.server import run_server
from tidegate_server.dashboard.api import Api, CallFailed
from tidegate_server.dashboard.environment import PRESENT, Environment
from tidegate_server.dashboard.feeds import Feed
from tidegate_server.dashboard.points import SPANS
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import Status
from tidegate_server.settings import Fsync, Settings
from tidegate_server.wire.experiments import plan_to_message

SOON = replace(PLAN, preflight=None)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the feeds' own tasks bring it about
            await asyncio.sleep(0.01)


async def followed_value(feed: Feed[report_service_pb2.Report]) -> None:
    feed.listen(lambda: None)
    await feed.first(20)


class Flags:
    """The server's flags, changed as by somebody else."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = flag_service_pb2_grpc.FlagServiceStub(channel)

    async def create(self, key: str = "chat-model", **shares: int) -> None:
        await create(self.stub, draft(key, **shares))

    async def split(self, **shares: int) -> None:
        await self.stub.UpdateSplit(
            flag_service_pb2.UpdateSplitRequest(key="chat-model", split=split_messages(shares))
        )


@pytest.fixture
def flags(channel: grpc.aio.Channel) -> Flags:
    return Flags(channel)


async def send_events(channel: grpc.aio.Channel, phase: int = 1) -> None:
    sent = batch()
    for series in sent.series:
        series.phase = phase
    stub = event_service_pb2_grpc.EventServiceStub(channel)
    await stub.ReportEvents(event_service_pb2.ReportEventsRequest(batch=sent))


def shares(environment: Environment) -> list[int]:
    flag = environment.flag("chat-model")
    return [share.share_ppm // 10_000 for share in flag.split] if flag else []


async def test_flags_are_followed(followed: Environment, flags: Flags) -> None:
    await until(lambda: followed.flags.value is not None)
    assert followed.flags.value is not None
    assert followed.flags.value.flags == {}
    await flags.create("b")
    await flags.create("chat-model")
    await flags.create("a")
    await until(lambda: followed.flags.value and followed.flags.value.revision == 3)
    assert list(followed.flags.value.flags) == ["a", "b", "chat-model"]
    await flags.split(v1=75, v2=25)
    await until(lambda: shares(followed) == [75, 25])
    await flags.stub.DeleteFlag(flag_service_pb2.DeleteFlagRequest(key="b"))
    await until(lambda: followed.flag("b") is None)
    assert followed.flags.freshness.live


async def test_experiments_are_followed(
    followed: Environment, flags: Flags, channel: grpc.aio.Channel
) -> None:
    stub = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
    await flags.create(v1=100, v2=0)
    await until(lambda: followed.experiments.value is not None)
    assert followed.experiments.value == {}
    request = experiment_service_pb2.CreateExperimentRequest(plan=plan_to_message(SOON))
    await stub.CreateExperiment(request)
    await until(lambda: followed.experiments.value)
    decisions, looks = followed.decisions("chat-v2"), followed.looks("chat-v2")
    decisions.listen(lambda: None)
    looks.listen(lambda: None)
    assert await decisions.first(20) == []
    await followed.api.command("chat-v2", Command(Request.START, "anna", "now"))
    await until(lambda: decisions.value)
    assert decisions.value is not None
    assert decisions.value[0].decision.why == "start, asked for by anna: now"
    found = (followed.experiments.value or {})[SOON.key]
    assert (found.plan, found.state.status) == (SOON, Status.ENTERING)
    await followed.api.command("chat-v2", Command(Request.ABORT, "anna"))
    await until(lambda: decisions.value and len(decisions.value) > 1)
    assert [each.number for each in decisions.value] == [*range(1, len(decisions.value) + 1)]
    assert await looks.first(20) == []
    await stub.DeleteExperiment(experiment_service_pb2.DeleteExperimentRequest(key="chat-v2"))
    await until(lambda: followed.experiments.value == {})


async def test_a_report_is_of_the_present_phase(
    followed: Environment, flags: Flags, channel: grpc.aio.Channel
) -> None:
    await flags.create(v1=50, v2=50)
    await until(lambda: followed.flag("chat-model"))
    feed = followed.report("chat-model")
    await followed_value(feed)
    assert feed.value is not None
    assert [(each.variant, each.share_ppm) for each in feed.value.variants] == [
        ("v1", 500_000),
        ("v2", 500_000),
    ]
    assert all(each.units == 0 and not each.outcomes for each in feed.value.variants)
    await send_events(channel)
    await until(lambda: feed.value and feed.value.variants[1].outcomes)
    reports = report_service_pb2_grpc.ReportServiceStub(channel)
    request = report_service_pb2.GetReportRequest(flag_key="chat-model", phase=1)
    told = (await reports.GetReport(request)).report
    assert feed.value.variants == told.variants
    await flags.split(v1=25, v2=75)
    await until(lambda: feed.value and not feed.value.variants[0].outcomes)
    assert [each.share_ppm for each in feed.value.variants] == [250_000, 750_000]
    everything = followed.report("chat-model", 0)
    await followed_value(everything)
    assert everything.value is not None
    assert everything.value.variants[0].outcomes[0].count == 150


async def test_series_distributions_and_revisions_are_followed(
    followed: Environment, flags: Flags, channel: grpc.aio.Channel
) -> None:
    await flags.create(v1=50, v2=50)
    await send_events(channel)
    await until(lambda: followed.flag("chat-model"))
    series, revisions = followed.series("chat-model", SPANS[0]), followed.revisions("chat-model")
    values = followed.distributions("chat-model", "latency_ms", 0)
    series.listen(lambda: None)
    revisions.listen(lambda: None)
    values.listen(lambda: None)
    await until(lambda: series.value and series.value.series)
    assert series.value is not None
    counts = [point.count for point in series.value.series["v1", "latency_ms"]]
    assert sum(counts) == 150
    await until(lambda: values.value)
    assert [each.count for each in values.value or ()] == [150, 150]
    await until(lambda: revisions.value)
    before = revisions.value
    await asyncio.sleep(0)
    assert [each.revision for each in before or ()] == [1]
    await flags.split(v1=40, v2=60)
    await until(lambda: revisions.value is not before)
    assert [each.revision for each in revisions.value or ()] == [2, 1]


async def test_in_a_phase_without_events_there_are_no_values(
    followed: Environment, flags: Flags, channel: grpc.aio.Channel
) -> None:
    await flags.create(v1=50, v2=50)
    await send_events(channel)
    await until(lambda: followed.flag("chat-model"))
    values = followed.distributions("chat-model", "latency_ms", PRESENT)
    values.listen(lambda: None)
    await until(lambda: values.value)
    await flags.split(v1=40, v2=60)
    await until(lambda: not values.value)
    assert values.freshness.live


async def test_who_asks_for_the_same_shares_one_feed(followed: Environment) -> None:
    first = followed.report("chat-model")
    assert followed.report("chat-model") is first, "also before anybody listens"
    first.listen(lambda: None)
    assert followed.report("chat-model") is first
    assert followed.report("chat-model", 0) is not first
    assert followed.report("other") is not first


async def test_the_server_says_which_environment_it_serves(
    followed: Environment, settings: Settings
) -> None:
    followed.watchers.listen(lambda: None)
    await until(lambda: followed.watchers.value and followed.watchers.value.groups)
    assert followed.misnamed == ""
    assert followed.watchers.value is not None
    assert [(each.client_name, each.count) for each in followed.watchers.value.groups] == [
        ("tidegate dashboard", 1)
    ]
    wrong = Environment("production", Api(settings.listen))
    wrong.watchers.listen(lambda: None)
    await wrong.watchers.first(20)
    assert f"serves the environment '{settings.environment}', not 'production'" in wrong.misnamed
    await wrong.close()


async def test_what_the_server_refuses_is_said_in_its_words(
    followed: Environment, flags: Flags
) -> None:
    await flags.create()
    with pytest.raises(CallFailed, match="add up to 99 %") as refused:
        await followed.api.preview_split("chat-model", split_messages({"v1": 90, "v2": 9}))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(CallFailed, match="revision 1, not 7"):
        await followed.api.update_split("chat-model", split_messages({"v1": 90, "v2": 10}), 7)
    with pytest.raises(CallFailed, match="'none' is not known"):
        await followed.api.update_flag(flag_pb2.Flag(key="none"))
    with pytest.raises(CallFailed, match="chat-v9"):
        await followed.api.command("chat-v9", Command(Request.PAUSE, "anna"))


async def test_a_server_without_its_store_is_not_current(
    settings: Settings, tmp_path: Path
) -> None:
    """Its streams go on: of flags and experiments as they were."""
    embedded_store.prepare(tmp_path)
    command = embedded_store.command(tmp_path, Fsync.EVERYSEC)
    store = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    stop = asyncio.Event()
    own = settings.model_copy(update={"redis_url": embedded_store.url(tmp_path)})
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        await embedded_store.wait_ready(embedded_store.socket_path(tmp_path))
        tasks.create_task(run_server(own, stop))
        environment = Environment(own.environment, Api(own.listen))
        running = asyncio.create_task(environment.run())
        for feed in environment.followed:
            feed.listen(lambda: None)
        await until(lambda: all(feed.freshness.live for feed in environment.followed))
        store.kill()
        words = f"the server at {own.listen} does not reach its store"
        await until(lambda: [feed.freshness.problem for feed in environment.followed][-1] == words)
        assert environment.flags.freshness.live
        running.cancel()
        await asyncio.wait([running])
        stop.set()
    await store.wait()


async def test_a_server_that_goes_is_said_and_one_that_comes_is_found(settings: Settings) -> None:
    environment = Environment(settings.environment, Api(settings.listen))
    running = asyncio.create_task(environment.run())
    feeds: list[Feed[Any]] = [environment.flags, environment.experiments, environment.watchers]
    environment.watchers.listen(lambda: None)
    await until(lambda: all(feed.freshness.problem for feed in feeds))
    words = f"the server at {settings.listen} does not answer"
    assert {feed.freshness.problem for feed in feeds} == {words}
    assert all(feed.freshness.heard is None for feed in feeds)
    for life in range(2):
        stop = asyncio.Event()
        server = asyncio.create_task(run_server(settings, stop))
        async with grpc.aio.insecure_channel(settings.listen) as channel:
            await serving(channel)
            await until(lambda: all(feed.freshness.live for feed in feeds))
            await Flags(channel).create(f"flag-{life}")
            await until(partial(environment.flag, f"flag-{life}"))
        stop.set()
        await server
        await until(lambda: all(feed.freshness.problem for feed in feeds))
        assert environment.flag("flag-0") is not None, "what was known stays"
        assert all(feed.freshness.heard is not None for feed in feeds)
    running.cancel()
    await asyncio.wait([running])
