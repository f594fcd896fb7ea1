"""ExperimentService, over the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeAlias

import grpc
import pytest
from redis.asyncio import Redis

from tests.e2e.calls import split_messages
from tests.e2e.stack import free_port
from tests.server.domain.experiments.samples import NOW, PLAN
from tests.server.rpc.conftest import serving
from tests.server.rpc.test_flags import draft
from tidegate.v1 import (
    experiment_pb2,
    experiment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
)
from tidegate.v1 import experiment_service_pb2 as messages
from tidegate_server.analysis.decision import Verdict
from tidegate_server.bootstrap.server import run_server
from tidegate_server.domain.experiments.plan import ExperimentKey, Plan
from tidegate_server.domain.experiments.records import Seen
from tidegate_server.domain.experiments.state import Memory, State, Status
from tidegate_server.ports import ExperimentCommit
from tidegate_server.settings import Settings
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.wire.experiments import experiment_from_message, plan_to_message

Stub: TypeAlias = "experiment_service_pb2_grpc.ExperimentServiceAsyncStub"
PlanMessage: TypeAlias = experiment_pb2.ExperimentPlan
SOON = replace(PLAN, preflight=None)
OTHER = replace(SOON, key=ExperimentKey("chat-v3"))


@dataclass
class Service:
    """One server, as its clients see it."""

    stub: Stub
    flags: "flag_service_pb2_grpc.FlagServiceAsyncStub"

    async def create(self, plan: Plan = SOON) -> experiment_pb2.Experiment:
        request = messages.CreateExperimentRequest(plan=plan_to_message(plan))
        return (await self.stub.CreateExperiment(request)).experiment

    async def get(self, key: str = "chat-v2") -> experiment_pb2.Experiment:
        return (await self.stub.GetExperiment(messages.GetExperimentRequest(key=key))).experiment

    async def ask(self, what: str, key: str = "chat-v2", **fields: Any) -> Any:
        request = getattr(messages, f"{what}ExperimentRequest")
        call = getattr(self.stub, f"{what}Experiment")
        answer = await call(request(**{"key": key, "actor": "anna"} | fields))
        return answer.experiment

    async def split(self, key: str = "chat-model") -> dict[str, int]:
        flag = (await self.flags.GetFlag(flag_service_pb2.GetFlagRequest(key=key))).flag
        return {share.variant: share.share_ppm for share in flag.split}

    async def set_split(self, **shares: int) -> None:
        request = flag_service_pb2.UpdateSplitRequest(
            key="chat-model", split=split_messages(shares)
        )
        await self.flags.UpdateSplit(request)

    async def decisions(self, key: str = "chat-v2") -> list[experiment_pb2.Decision]:
        request = messages.ListDecisionsRequest(key=key)
        return list((await self.stub.ListDecisions(request)).decisions)


def service_on(channel: grpc.aio.Channel) -> Service:
    return Service(
        experiment_service_pb2_grpc.ExperimentServiceStub(channel),
        flag_service_pb2_grpc.FlagServiceStub(channel),
    )


@pytest.fixture
async def service(channel: grpc.aio.Channel) -> Service:
    """A server with a flag that gives all to control."""
    made = service_on(channel)
    await made.flags.CreateFlag(flag_service_pb2.CreateFlagRequest(flag=flag()))
    return made


@pytest.fixture
async def elsewhere(settings: Settings) -> AsyncIterator[Service]:
    """Another server of the same environment."""
    other = settings.model_copy(update={"listen": f"127.0.0.1:{free_port()}"})
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_server(other, stop))
        async with grpc.aio.insecure_channel(other.listen) as channel:
            await serving(channel)
            yield service_on(channel)
        stop.set()


@pytest.fixture
def store(client: Redis, environment: str) -> RedisExperimentStore:
    return RedisExperimentStore(client, environment)


def flag(**shares: int) -> flag_pb2.Flag:
    return draft("chat-model", **(shares or {"v1": 100, "v2": 0}))


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def brought_to(
    store: RedisExperimentStore, status: Status, share_ppm: int = 0, stage: int = 0
) -> None:
    """Bring the experiment to where a controller would."""
    found = await store.get(PLAN.key)
    state = replace(found.state, status=status, share_ppm=share_ppm, stage=stage)
    await store.commit(
        ExperimentCommit(replace(found, state=state, version=found.version + 1, updated=NOW))
    )


async def test_an_experiment_lives_from_create_to_delete(service: Service) -> None:
    created = await service.create()
    assert created.version == 1
    assert created.state.status == experiment_pb2.EXPERIMENT_STATUS_DRAFT
    assert experiment_from_message(created).plan == SOON
    assert await service.get() == created

    started = await service.ask("Start", why="the eval looks good")
    assert started.version == 2
    assert started.state.status == experiment_pb2.EXPERIMENT_STATUS_ENTERING
    assert (started.state.attempt, started.state.first_phase) == (1, 1)
    assert await service.get() == started
    code, words = await refused(
        service.stub.DeleteExperiment(messages.DeleteExperimentRequest(key="chat-v2"))
    )
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "experiment 'chat-v2' is entering: abort it first" in words

    ended = await service.ask("Abort")
    assert ended.state.status == experiment_pb2.EXPERIMENT_STATUS_ABORTED
    assert [(each.number, each.action, each.actor) for each in await service.decisions()] == [
        (1, "start", "anna"),
        (2, "abort", "anna"),
    ]
    assert (await service.decisions())[0].why == "start, asked for by anna: the eval looks good"
    await service.stub.DeleteExperiment(messages.DeleteExperimentRequest(key="chat-v2"))
    code, words = await refused(service.get())
    assert (code, words) == (
        grpc.StatusCode.NOT_FOUND,
        "experiment 'chat-v2' is not known; known are none",
    )


async def test_state_split_and_decision_change_together(
    service: Service, store: RedisExperimentStore
) -> None:
    await service.create()
    await service.ask("Start")
    await service.set_split(v1=50, v2=50)
    await brought_to(store, Status.AWAITING_APPROVAL, 500_000, stage=2)
    approved = await service.ask("Approve")
    assert approved.state.stage == 3
    promoted = await service.ask("Promote", why="we are sure")
    assert promoted.state.status == experiment_pb2.EXPERIMENT_STATUS_WATCHING
    assert await service.split() == {"v1": 0, "v2": 1_000_000}
    back = await service.ask("Abort")
    assert back.state.status == experiment_pb2.EXPERIMENT_STATUS_ROLLING_BACK
    assert await service.split() == {"v1": 1_000_000, "v2": 0}
    revisions = [each.revision for each in await service.decisions()]
    assert revisions == [0, 0, 3, 4]


async def test_a_start_takes_the_share_that_is_there(service: Service) -> None:
    await service.set_split(v1=97, v2=3)
    await service.create()
    started = await service.ask("Start")
    assert started.state.share_ppm == 30_000
    assert started.state.first_phase == 2


REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"v1": 90, "v2": 10}, "Start", "v2 has 10 % already, and stage 'canary' begins with 5 %"),
    ({"v1": 90, "v2": 0, "v3": 10}, "Start", "an experiment needs all of the split"),
    ({}, "Approve", "has the status 'draft': approve is for one that waits for approval"),
    ({}, "Retry", "retry is for one that was rolled back, rejected or aborted"),
]


@pytest.mark.parametrize(("shares", "what", "words"), REFUSALS)
async def test_what_makes_no_sense_is_refused_with_the_reason(
    channel: grpc.aio.Channel, shares: dict[str, int], what: str, words: str
) -> None:
    service = service_on(channel)
    await service.flags.CreateFlag(flag_service_pb2.CreateFlagRequest(flag=flag(**shares)))
    await service.create()
    code, said = await refused(service.ask(what))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert words in said
    assert (await service.get()).version == 1


async def test_a_killed_flag_or_one_without_the_variant_starts_nothing(service: Service) -> None:
    await service.create()
    changed = flag()
    changed.killed = True
    await service.flags.UpdateFlag(flag_service_pb2.UpdateFlagRequest(flag=changed))
    assert "revive the flag first" in (await refused(service.ask("Start")))[1]
    without = draft("chat-model", v1=100)
    await service.flags.UpdateFlag(flag_service_pb2.UpdateFlagRequest(flag=without))
    assert "flag 'chat-model' has no variant 'v2'" in (await refused(service.ask("Start")))[1]
    await service.flags.DeleteFlag(flag_service_pb2.DeleteFlagRequest(key="chat-model"))
    code, words = await refused(service.ask("Start"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "there is no flag 'chat-model'" in words
    ended = await service.ask("Abort")
    assert ended.state.status == experiment_pb2.EXPERIMENT_STATUS_ABORTED


def edited(
    edit: Callable[[experiment_pb2.ExperimentPlan], object],
) -> experiment_pb2.ExperimentPlan:
    message = plan_to_message(SOON)
    edit(message)
    return message


def break_all(plan: PlanMessage) -> None:
    """Wrong in what no plan can hold, by itself, and beside its flag."""
    plan.key = "Chat v2"
    plan.treatment = "v22"
    plan.goal.metric.outcome = "smiles"
    plan.stages[0].after_hold = experiment_pb2.AFTER_HOLD_UNSPECIFIED
    plan.stages[1].share_ppm = 10_000
    plan.stages[2].before.add(url="https://me:secret@hooks.example")
    plan.guardrails[0].Clear()
    plan.change_windows.add(start="9", end="17:00", zone="Mars/Olympus")
    plan.notifications.add(url="nowhere", actions=["dance"])


ALL = [
    "change_windows[0].start",
    "stages[0].then",
    "guardrails[0]",
    "notifications[0].format",
    "experiment",
    "stages[1].share",
    "stages[2].before[0].url",
    "stages[2].before[0].timeout",
    "change_windows[0].days",
    "change_windows[0].zone",
    "notifications[0].url",
    "notifications[0].actions[0]",
    "treatment",
    "goal.metric",
]


async def test_everything_that_is_wrong_is_named_at_once(service: Service) -> None:
    plan = edited(break_all)
    answer = await service.stub.ValidateExperiment(messages.ValidateExperimentRequest(plan=plan))
    assert sorted(each.field for each in answer.problems) == sorted(ALL)
    said = {each.field: each.problem for each in answer.problems}
    assert "which way 'smiles' is better" in said["goal.metric"]
    assert said["treatment"] == "variant 'v22' is not known; did you mean 'v2'?"
    code, words = await refused(
        service.stub.CreateExperiment(messages.CreateExperimentRequest(plan=plan))
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(line.partition(": ")[0] for line in words.splitlines()) == sorted(ALL)
    listed = await service.stub.ListExperiments(messages.ListExperimentsRequest())
    assert not listed.experiments


async def test_a_sound_plan_is_valid_and_stored_by_create_only(service: Service) -> None:
    request = messages.ValidateExperimentRequest(plan=plan_to_message(SOON))
    assert not (await service.stub.ValidateExperiment(request)).problems
    assert (await refused(service.get()))[0] is grpc.StatusCode.NOT_FOUND
    unknown = edited(lambda plan: setattr(plan, "flag_key", "chat-modle"))
    found = await service.stub.ValidateExperiment(messages.ValidateExperimentRequest(plan=unknown))
    assert [(each.field, each.problem) for each in found.problems] == [
        ("flag", "flag 'chat-modle' is not known; did you mean 'chat-model'?")
    ]


async def test_a_key_is_given_once(service: Service) -> None:
    created = await service.create()
    code, words = await refused(service.create(replace(SOON, description="another")))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert "'chat-v2' exists" in words
    assert await service.get() == created


async def test_two_experiments_on_one_flag_are_refused(service: Service) -> None:
    await service.create()
    await service.create(OTHER)
    await service.ask("Start")
    code, words = await refused(service.ask("Start", "chat-v3"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert words == (
        "flag 'chat-model' is held by experiment 'chat-v2', which is active: "
        "abort it, or wait until it has ended"
    )
    await service.ask("Abort")
    await service.ask("Start", "chat-v3")


async def test_of_two_that_start_at_once_one_does(service: Service, elsewhere: Service) -> None:
    await service.create()
    await service.create(OTHER)
    starts = [service.ask("Start"), elsewhere.ask("Start", "chat-v3")]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    assert sum(isinstance(each, grpc.aio.AioRpcError) for each in outcomes) == 1


async def test_a_version_that_was_named_must_still_be_there(service: Service) -> None:
    await service.create()
    await service.ask("Start", version=1)
    code, words = await refused(service.ask("Pause", version=1))
    assert code is grpc.StatusCode.ABORTED
    assert "experiment 'chat-v2' is at version 2, not 1: it has changed" in words
    paused = await service.ask("Pause", version=2)
    assert paused.version == 3


async def test_requests_at_the_same_time_are_decided_one_after_the_other(
    service: Service, elsewhere: Service
) -> None:
    """Each meets what the others left; none is lost, none is told of a conflict."""
    await service.create()
    await service.ask("Start")
    asked = [each.ask("Pause", actor=f"p{n}") for n in range(5) for each in (service, elsewhere)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    errors = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
    assert len(errors) == 9
    assert {each.code() for each in errors} == {grpc.StatusCode.FAILED_PRECONDITION}
    assert [each.number for each in await service.decisions()] == [1, 2]


async def test_a_request_meets_splits_that_change_at_the_same_time(
    service: Service, elsewhere: Service, store: RedisExperimentStore
) -> None:
    """It is decided by the flag as it is when it is stored, or decided anew."""
    await service.create()
    await service.ask("Start")
    await service.set_split(v1=95, v2=5)
    await brought_to(store, Status.OBSERVING, 50_000)
    changes = [elsewhere.set_split(v1=95 - n, v2=5 + n) for n in range(1, 6)]
    aborted, *_ = await asyncio.gather(service.ask("Abort"), *changes)
    assert aborted.state.status == experiment_pb2.EXPERIMENT_STATUS_ROLLING_BACK
    (*_, decision) = await service.decisions()
    request = flag_service_pb2.ListFlagRevisionsRequest(key="chat-model")
    history = {
        each.revision: each.flag
        for each in (await service.flags.ListFlagRevisions(request)).revisions
    }
    assert [share.share_ppm for share in history[decision.revision].split] == [1_000_000, 0]


@pytest.mark.parametrize("what", ["Start", "Pause", "Skip", "Abort"])
async def test_who_asks_must_be_named(service: Service, what: str) -> None:
    await service.create()
    for actor, words in (("", "give 1 to 200"), ("x" * 201, "201 characters")):
        code, said = await refused(service.ask(what, actor=actor))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said.startswith("actor: ")
        assert words in said
    _, said = await refused(service.ask(what, actor="controller"))
    assert "nobody asked for" in said
    _, said = await refused(service.ask(what, why="x" * 1_001))
    assert said.startswith("why: ")


async def test_who_starts_a_treatment_that_failed_before_is_told(
    service: Service, store: RedisExperimentStore
) -> None:
    await service.create()
    await service.ask("Start")
    found = await store.get(PLAN.key)
    failed = experiment_from_message(await service.get()).state
    await brought_to(store, Status.ROLLED_BACK)
    found = await store.get(PLAN.key)
    memory = Memory(1, NOW, Status.ROLLED_BACK, "error above 5 %")
    state = replace(failed, status=Status.ROLLED_BACK, memories=(memory,))
    await store.commit(ExperimentCommit(replace(found, state=state, version=found.version + 1)))
    await service.create(OTHER)
    await service.ask("Start", "chat-v3", why="fixed")
    (decision,) = await service.decisions("chat-v3")
    assert decision.why == (
        "start, asked for by anna: fixed; "
        "v2 was rolled back by chat-v2 on 2026-01-31 12:00 UTC: error above 5 %"
    )


async def test_experiments_are_listed_by_key_in_pages_and_by_flag(service: Service) -> None:
    other_flag = draft("other", v1=100, v2=0)
    await service.flags.CreateFlag(flag_service_pb2.CreateFlagRequest(flag=other_flag))
    for key in ("c", "a", "b"):
        await service.create(replace(SOON, key=ExperimentKey(key)))
    await service.create(replace(SOON, key=ExperimentKey("d"), flag="other"))  # type: ignore[arg-type]

    async def keys(**fields: Any) -> tuple[list[str], str]:
        answer = await service.stub.ListExperiments(messages.ListExperimentsRequest(**fields))
        return [each.plan.key for each in answer.experiments], answer.next_page_token

    first, token = await keys(page_size=3)
    assert first == ["a", "b", "c"]
    assert await keys(page_size=3, page_token=token) == (["d"], "")
    assert await keys(flag_key="other") == (["d"], "")
    assert await keys(flag_key="nothing") == ([], "")
    code, _ = await refused(keys(page_size=1_001))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_decisions_come_in_pages(service: Service) -> None:
    await service.create()
    await service.ask("Start")
    for what in ("Pause", "Resume", "Pause"):
        await service.ask(what)

    async def page(after: int, size: int) -> tuple[list[int], bool]:
        request = messages.ListDecisionsRequest(key="chat-v2", after=after, page_size=size)
        answer = await service.stub.ListDecisions(request)
        return [each.number for each in answer.decisions], answer.more

    assert await page(0, 3) == ([1, 2, 3], True)
    assert await page(3, 3) == ([4], False)
    assert await page(1, 3) == ([2, 3, 4], False)
    assert await page(4, 3) == ([], False)
    for call in (page(-1, 1), page(0, -1)):
        assert (await refused(call))[0] is grpc.StatusCode.INVALID_ARGUMENT
    missing = messages.ListDecisionsRequest(key="nobody")
    code, _ = await refused(service.stub.ListDecisions(missing))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_many_looks_are_thinned_and_the_last_stays(
    service: Service, store: RedisExperimentStore
) -> None:
    created = experiment_from_message(await service.create())
    for number in range(1, 101):
        seen = Seen(
            NOW + timedelta(seconds=number), "canary", number, Verdict.PASS, (), None, None, 1.0
        )
        step = replace(created, state=State(), version=number + 1)
        await store.commit(ExperimentCommit(step, seen=seen))

    async def shares(**fields: int) -> list[int]:
        request = messages.ListLooksRequest(key="chat-v2", **fields)
        return [each.share_ppm for each in (await service.stub.ListLooks(request)).looks]

    assert await shares() == await shares(most=100) == list(range(1, 101))
    assert await shares(most=4) == [25, 50, 75, 100]
    assert await shares(most=1) == [100]
    thinned = await shares(most=33)
    assert len(thinned) == 33
    assert {later - sooner for sooner, later in pairwise(thinned)} == {3, 4}
    after_ms = int(NOW.timestamp() * 1_000) + 97_000
    assert await shares(after_ms=after_ms) == [98, 99, 100]
    for wrong in ({"most": 10_001}, {"most": -1}, {"after_ms": -1}):
        assert (await refused(shares(**wrong)))[0] is grpc.StatusCode.INVALID_ARGUMENT


class Watching:
    """A stream of experiments, as it is read."""

    def __init__(self, service: Service, key: str = "") -> None:
        request = messages.WatchExperimentsRequest(key=key)
        self._call: Any = service.stub.WatchExperiments(request)

    async def next(self) -> tuple[str, Any]:
        """The next message that is no heartbeat."""
        while True:
            message = await asyncio.wait_for(self._call.read(), 20)
            kind = message.WhichOneof("event")
            if kind != "heartbeat":
                return kind, getattr(message, kind)

    async def heartbeat(self) -> None:
        message = await asyncio.wait_for(self._call.read(), 20)
        assert message.WhichOneof("event") == "heartbeat"

    def close(self) -> None:
        self._call.cancel()


async def test_watchers_see_all_and_then_each_change_of_any_server(
    service: Service, elsewhere: Service
) -> None:
    created = await service.create()
    watch, one = Watching(service), Watching(service, "chat-v3")
    assert await watch.next() == ("experiment", created)
    assert await watch.next() == ("complete", True)
    assert await one.next() == ("complete", True)
    await watch.heartbeat()

    started = await elsewhere.ask("Start")
    assert await watch.next() == ("experiment", started)
    other = await elsewhere.create(OTHER)
    assert await watch.next() == ("experiment", other)
    assert await one.next() == ("experiment", other)
    aborted = await elsewhere.ask("Abort")
    assert await watch.next() == ("experiment", aborted)
    for key in ("chat-v3", "chat-v2"):
        await elsewhere.stub.DeleteExperiment(messages.DeleteExperimentRequest(key=key))
        assert await watch.next() == ("deleted_key", key)
    assert await one.next() == ("deleted_key", "chat-v3")
    await one.heartbeat()
    for each in (watch, one):
        each.close()


async def test_a_new_split_is_known_where_it_was_made(
    service: Service, elsewhere: Service, store: RedisExperimentStore
) -> None:
    await service.create(replace(SOON, stages=SOON.stages[:2]))
    await service.ask("Start")
    for each in (elsewhere, service):
        await each.ask("Promote")
        assert await each.split() == {"v1": 0, "v2": 1_000_000}
        await each.ask("Abort")
        assert await each.split() == {"v1": 1_000_000, "v2": 0}
        await brought_to(store, Status.OBSERVING)


async def test_stopping_ends_the_stream_without_an_error(settings: Settings) -> None:
    stop = asyncio.Event()
    async with grpc.aio.insecure_channel(settings.listen) as channel:
        running = asyncio.create_task(run_server(settings, stop))
        await serving(channel)
        call = service_on(channel).stub.WatchExperiments(messages.WatchExperimentsRequest())
        await anext(aiter(call))
        stop.set()
        async for message in call:
            assert message.WhichOneof("event") == "heartbeat"
        assert await call.code() is grpc.StatusCode.OK
        await asyncio.wait_for(running, 5)


async def test_more_problems_than_a_status_takes_are_cut_at_a_line(service: Service) -> None:
    plan = plan_to_message(SOON)
    for number in range(50):
        hook = plan.stages[number % 4].before.add(url=f"nowhere/{'ü' * 90}/{number}")
        hook.timeout.seconds = 1
    request = messages.CreateExperimentRequest(plan=plan)
    code, words = await refused(service.stub.CreateExperiment(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    *lines, last = words.splitlines()
    assert all(line.startswith("stages[") and line.endswith("/path") for line in lines)
    assert last == f"and {50 - len(lines)} more"
    request.plan.key = "ü" * 100_000
    code, words = await refused(service.stub.CreateExperiment(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words.startswith("experiment: 'üü")
