"""Checks under way, and their results in a real store."""

import asyncio
import json
import sys
from dataclasses import replace

import pytest

from tests.server.controller.receiver import Receiver
from tests.server.controller.scene import PLAN, V1, V2, Desk, Scene
from tidegate_server.domain.experiments.look import OPEN, Gate, GateState
from tidegate_server.domain.experiments.plan import (
    Evaluation,
    Hook,
    Plan,
    Preflight,
    Threshold,
)
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.requests import Request
from tidegate_server.domain.experiments.state import Status
from tidegate_server.domain.replicas.replica import Replica, ReplicaId, ReplicaState, Report
from tidegate_server.ports import Fence, Progress
from tidegate_server.storage.gate_results import RedisGateResults
from tidegate_server.storage.keys import ExperimentKeys
from tidegate_server.storage.replica_store import RedisReplicaStore

CANARY = PLAN.stages[0]


def hooked(url: str, *paths: str) -> Plan:
    """A plan whose first stage asks hooks before its share."""
    hooks = tuple(Hook(f"{url}/{path}") for path in paths)
    return replace(PLAN, stages=(replace(CANARY, before=hooks), *PLAN.stages[1:]))


@pytest.fixture
async def desk(scene: Scene) -> Desk:
    made = scene.desk()
    await made.clock.read()
    return made


@pytest.fixture
async def fence(scene: Scene) -> Fence:
    fence = await scene.leadership.acquire("one", 60)
    assert fence is not None
    return fence


async def settled(desk: Desk, experiment: Experiment, fence: Fence) -> Gate:
    """Ask at the gate until it does not wait any more."""
    async with asyncio.timeout(20):
        while True:
            gate = await desk.gates.gate(experiment, fence)
            if gate.state is not GateState.WAITING:
                return gate


async def test_hooks_are_asked_once_and_remembered_by_other_controllers(
    scene: Scene, desk: Desk, fence: Fence, receiver: Receiver
) -> None:
    experiment = await scene.start(hooked(receiver.url, "first", "second"))
    assert experiment.state.status is Status.ENTERING
    assert (await desk.gates.gate(experiment, fence)).state is GateState.WAITING
    assert await settled(desk, experiment, fence) == OPEN
    other = scene.desk("two")
    await other.clock.read()
    assert await other.gates.gate(experiment, fence) == OPEN
    first, second = sorted(receiver.received, key=lambda each: each.path)
    assert (first.path, second.path) == ("/first", "/second")
    created = round(experiment.created.timestamp() * 1000)
    name = f"{scene.environment}/chat-v2/{created}/1/canary/before/0"
    assert first.headers["Tidegate-Id"] == name
    assert first.json["stage"] == "canary"


async def test_a_no_is_remembered_but_not_by_the_next_attempt(
    scene: Scene, desk: Desk, fence: Fence, receiver: Receiver
) -> None:
    experiment = await scene.start(hooked(receiver.url, "hook"))
    receiver.answer("/hook", 403)
    failed = await settled(desk, experiment, fence)
    assert failed.state is GateState.FAILED
    assert failed.why == f"hook {receiver.url}/hook: answered 403: said"
    looked = await desk.looks.look(experiment, fence)
    assert looked.experiment.state.status is Status.REJECTED
    again = await scene.ask(Request.RETRY)
    assert await settled(desk, again, fence) == OPEN


async def test_what_the_store_has_lost_is_asked_again(
    scene: Scene, desk: Desk, fence: Fence, receiver: Receiver
) -> None:
    """As after a fail-over to a replica that had not heard of it, under the same leader."""
    experiment = await scene.start(hooked(receiver.url, "hook"))
    await desk.gates.gate(experiment, fence)
    [task] = [each for each in asyncio.all_tasks() if "_run" in repr(each.get_coro())]
    await task
    assert await scene.client.delete(ExperimentKeys(scene.environment).gates(PLAN.key)) == 1
    assert await settled(desk, experiment, fence) == OPEN
    assert len(receiver.of("/hook")) == 2


async def test_what_a_hook_says_meanwhile_is_told(
    scene: Scene, desk: Desk, fence: Fence, receiver: Receiver
) -> None:
    experiment = await scene.start(hooked(receiver.url, "hook"))
    receiver.answer("/hook", *[503] * 100)
    await desk.gates.gate(experiment, fence)
    await receiver.wait_for("/hook", 1)
    said = f"hook {receiver.url}/hook: answered 503: said"
    async with asyncio.timeout(20):
        while (await desk.gates.gate(experiment, fence)).why != said:
            pass
    looked = await desk.looks.look(experiment, fence)
    assert said in looked.seen.reasons
    assert scene.share() == 0
    await desk.gates.stop()


@pytest.mark.parametrize("how", ["paused", "aborted", "leadership lost"])
async def test_checks_end_with_their_cause(
    scene: Scene, desk: Desk, fence: Fence, receiver: Receiver, how: str
) -> None:
    experiment = await scene.start(hooked(receiver.url, "hook"))
    receiver.answer("/hook", None)
    await desk.gates.gate(experiment, fence)
    await receiver.wait_for("/hook", 1)
    [task] = [each for each in asyncio.all_tasks() if "_run" in repr(each.get_coro())]
    if how == "paused":
        await desk.gates.gate(await scene.ask(Request.PAUSE), fence)
    elif how == "aborted":
        desk.gates.keep(())
    else:
        await desk.gates.stop()
    await asyncio.wait({task}, timeout=20)
    assert task.cancelled()
    results = RedisGateResults(scene.client, scene.environment)
    assert await results.load(PLAN.key) == {}


async def test_a_result_of_a_controller_that_leads_no_more_is_not_stored(
    scene: Scene, desk: Desk, fence: Fence, receiver: Receiver
) -> None:
    experiment = await scene.start(hooked(receiver.url, "hook"))
    await scene.leadership.release("one")
    newer = await scene.leadership.acquire("two", 60)
    assert newer is not None
    await desk.gates.gate(experiment, fence)
    [task] = [each for each in asyncio.all_tasks() if "_run" in repr(each.get_coro())]
    await task
    results = RedisGateResults(scene.client, scene.environment)
    assert await results.load(PLAN.key) == {}
    other = scene.desk("two")
    await other.clock.read()
    assert await settled(other, experiment, newer) == OPEN
    assert len(receiver.received) == 2
    assert len({each.headers["Tidegate-Id"] for each in receiver.received}) == 1


@pytest.mark.parametrize(("accuracy", "ends"), [(0.95, Status.ENTERING), (0.85, Status.REJECTED)])
async def test_preflight(scene: Scene, fence: Fence, accuracy: float, ends: Status) -> None:
    scene.allowed = frozenset({sys.executable})
    desk = scene.desk()
    await desk.clock.read()
    program = f"print('''{json.dumps({'accuracy': accuracy})}''')"
    evaluation = Evaluation(
        (Threshold("accuracy", 0.9, floor=True),), command=(sys.executable, "-c", program)
    )
    experiment = await scene.start(replace(PLAN, preflight=Preflight(evaluation=evaluation)))
    assert experiment.state.status is Status.PREFLIGHT
    await settled(desk, experiment, fence)
    looked = await desk.looks.look(experiment, fence)
    assert looked.experiment.state.status is ends
    results = await RedisGateResults(scene.client, scene.environment).load(PLAN.key)
    [result] = results.values()
    passed = ends is Status.ENTERING
    assert result.progress is (Progress.PASSED if passed else Progress.FAILED)
    assert result.why == ("" if passed else "accuracy is 0.85; at least 0.9 is wanted")


async def test_a_stage_over_replicas_waits_for_them(scene: Scene, desk: Desk, fence: Fence) -> None:
    stages = (replace(CANARY, replicas=True), *PLAN.stages[1:])
    experiment = await scene.start(replace(PLAN, stages=stages))
    looked = await desk.looks.look(experiment, fence)
    assert looked.experiment.state.status is Status.ENTERING
    said = "0 of the replicas of chat-model can serve: canary needs one for v1 and one for v2"
    assert looked.seen.reasons[-1] == said
    replicas = RedisReplicaStore(scene.client, scene.environment)
    for name, variant in (("gpu-1", V1), ("gpu-2", V2)):
        report = Report(ReplicaState.READY, variant)
        await replicas.register(Replica(ReplicaId(name), PLAN.flag, f"{name}:80", report))
    looked = await desk.looks.look(looked.experiment, fence)
    assert looked.experiment.state.status is Status.OBSERVING
