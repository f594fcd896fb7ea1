"""Controllers at work, in real time, on a real store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from structlog.testing import capture_logs

from tests.server.controller.scene import MINUTE, PERCENT, PLAN, SECOND, Scene
from tests.server.storage.samples import flag as flag_draft
from tidegate.model import PPM, FlagKey, SplitShare
from tidegate_server.domain.experiments.plan import ExperimentKey, Plan, Stage
from tidegate_server.domain.experiments.requests import Request
from tidegate_server.domain.experiments.state import Status
from tidegate_server.storage.keys import ExperimentKeys

QUICK = replace(
    PLAN, stages=(Stage("canary", 5 * PERCENT, bake=SECOND), Stage("full", PPM, bake=SECOND))
)


@asynccontextmanager
async def controller(scene: Scene, name: str = "one") -> AsyncIterator[asyncio.Event]:
    """Run a controller during the block, or until what it yields is set."""
    stop = asyncio.Event()
    running = asyncio.create_task(scene.desk(name).controller.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await running


async def other(scene: Scene, key: str, plan: Plan = PLAN) -> Plan:
    """Start another experiment on a flag of its own."""
    flag = replace(flag_draft(key), split=(SplitShare(PLAN.control, PPM),))
    await scene.flags.create(flag)
    made = replace(plan, key=ExperimentKey(key), flag=FlagKey(key))
    await scene.experiments.create(made)
    await scene.ask(Request.START, made.key)
    return made


async def looks(scene: Scene, key: ExperimentKey, number: int) -> list[timedelta]:
    """Wait for so many looks; return the times between them."""
    while len(seen := await scene.store.looks(key, 0, 1_000)) < number:
        await scene.told.changes_after(scene.told.position, scene.told.epoch, 1.0)
    return [b.time - a.time for a, b in pairwise(seen)]


async def test_each_experiment_is_looked_at_at_its_interval(scene: Scene) -> None:
    slow = await other(scene, "slow", replace(PLAN, interval=MINUTE))
    await scene.start()
    async with controller(scene):
        between = await looks(scene, PLAN.key, 4)
    assert all(SECOND <= each < 3 * SECOND for each in between)
    assert len(await scene.store.looks(slow.key, 0, 10)) == 1


async def test_what_a_person_changes_is_looked_at_at_once(scene: Scene) -> None:
    plan = replace(PLAN, interval=10 * MINUTE)
    async with controller(scene):
        await scene.start(plan)
        await scene.await_status(Status.OBSERVING)
        await scene.ask(Request.SKIP)
        await looks(scene, PLAN.key, 2)


async def test_one_experiment_that_fails_does_not_stop_the_others(scene: Scene) -> None:
    """Its flag is held by another: a state that no step leads to."""
    broken = await other(scene, "broken")
    await scene.start()
    holders = ExperimentKeys(scene.environment).holders
    await scene.client.hset(holders, broken.flag, "nobody")
    with capture_logs() as logs:
        async with controller(scene):
            await looks(scene, PLAN.key, 3)
    assert await scene.store.looks(broken.key, 0, 10) == []
    failed = [each for each in logs if each["event"] == "look_failed"]
    assert {each["experiment"] for each in failed} == {"broken"}
    assert len(failed) >= 2, "it is tried again"


async def test_two_controllers_decide_nothing_twice(scene: Scene) -> None:
    await scene.start(QUICK)
    async with controller(scene) as stop, controller(scene, "two"):
        await scene.await_status(Status.OBSERVING)
        await scene.come(error=0.0)
        stop.set()
        while scene.share() != PPM:
            await scene.told.changes_after(scene.told.position, scene.told.epoch, 1.0)
        await scene.come(error=0.0)
        await scene.await_status(Status.SUCCEEDED)
    decisions = await scene.decisions()
    assert [each.number for each in decisions] == list(range(1, len(decisions) + 1))
    for former, later in pairwise(decisions):
        assert former.decision.after.status is later.decision.before.status


async def test_a_controller_that_loses_its_lease_begins_nothing_more(scene: Scene) -> None:
    await scene.start()
    with capture_logs() as logs:
        async with controller(scene):
            await looks(scene, PLAN.key, 1)
            await scene.leadership.release("one")
            fence = await scene.leadership.acquire("two", 60)
            assert fence is not None
            while not any(each["event"] == "lead_lost" for each in logs):
                await scene.client.time()
            number = len(await scene.store.looks(PLAN.key, 0, 100))
    assert len(await scene.store.looks(PLAN.key, 0, 100)) == number
