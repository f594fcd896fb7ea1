"""Looks at experiments in a real store, by a clock that the tests move on."""

from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.server.controller.scene import HOUR, MINUTE, PERCENT, PLAN, SECOND, V2, Desk, Scene
from tidegate.model import PPM, SplitShare
from tidegate_server.analysis.decision import Verdict
from tidegate_server.controller.looks import Looked
from tidegate_server.domain.events import Arm, Shard
from tidegate_server.domain.experiments.plan import AfterLease, Lease, QualityRules
from tidegate_server.domain.experiments.records import Action
from tidegate_server.domain.experiments.requests import Request
from tidegate_server.domain.experiments.state import Status
from tidegate_server.errors import FencedOff, VersionConflict
from tidegate_server.ports import Fence
from tidegate_server.storage.keys import ShardKeys


class Looking:
    """Looks, one after the other."""

    def __init__(self, scene: Scene, desk: Desk, fence: Fence) -> None:
        self.scene, self.desk, self.fence = scene, desk, fence

    async def look(self, passed: timedelta = SECOND) -> Looked:
        """Take a look when so much time has passed."""
        self.desk.clock.ahead += passed
        experiment = await self.scene.store.get(PLAN.key)
        return await self.desk.looks.look(experiment, self.fence)


@pytest.fixture
async def looking(scene: Scene) -> Looking:
    desk = scene.desk()
    await desk.clock.read()
    fence = await scene.leadership.acquire("one", 60)
    assert fence is not None
    return Looking(scene, desk, fence)


async def test_a_version_that_breaks_goes_back_to_control(scene: Scene, looking: Looking) -> None:
    await scene.start()
    entered = await looking.look()
    assert entered.experiment.state.status is Status.OBSERVING
    assert scene.share() == 5 * PERCENT
    await scene.come(error=0.0)
    assert (await looking.look()).seen.verdict is Verdict.PASS
    await scene.report(V2, 50, error=1.0)
    await scene.fold()
    assert (await looking.look()).seen.verdict is not Verdict.BREACH, "one look of three"
    broken = await looking.look()
    assert broken.seen.verdict is Verdict.BREACH
    assert (scene.share(), broken.experiment.state.status) == (0, Status.ROLLING_BACK)
    assert (await looking.look()).experiment.state.status is Status.ROLLED_BACK
    told = await scene.decisions()
    assert [each.number for each in told] == [1, 2, 3, 4]
    assert [each.decision.action for each in told] == [
        Action.START,
        Action.ENTER,
        Action.ROLL_BACK,
        Action.FINISH,
    ]
    assert [each.revision for each in told] == [0, entered.revision, broken.revision, 0]
    assert broken.revision == scene.configs.snapshot.revision


async def test_a_good_version_gets_everything(scene: Scene, looking: Looking) -> None:
    await scene.start()
    await looking.look()
    for share in (5 * PERCENT, PPM):
        assert scene.share() == share
        await scene.come(error=0.0)
        while scene.share() == share:
            looked = await looking.look(2 * SECOND)
            if looked.experiment.state.status in (Status.WATCHING, Status.SUCCEEDED):
                break
    assert (await looking.look()).experiment.state.status is Status.SUCCEEDED
    looks = await scene.store.looks(PLAN.key, 0, 1_000)
    assert len(looks) >= 2 * MINUTE / (2 * SECOND)


async def test_a_worker_that_lags_is_an_outage(scene: Scene, looking: Looking) -> None:
    await scene.start(replace(PLAN, quality=QualityRules(silence=SECOND)))
    await looking.look()
    await scene.come(error=0.0)
    await scene.report(V2, 50, error=1.0)
    while (await scene.log.backlog(Shard(0))).age_seconds < 2:
        pass
    looked = await looking.look()
    assert looked.seen.verdict is Verdict.OUTAGE
    assert looked.seen.reasons == (
        "the evidence can't be read: the worker is 2s behind: start more workers",
    )
    assert looked.experiment.state.status is Status.HELD


async def test_aggregates_that_cannot_be_read_hold_and_the_kill_switch_still_acts(
    scene: Scene, looking: Looking
) -> None:
    await scene.start()
    await looking.look()
    await scene.come(error=0.0)
    flag = scene.configs.snapshot.flags[PLAN.flag]
    keys = ShardKeys(scene.environment, Shard(0))
    await scene.client.set(keys.units(Arm(flag.key, flag.phase, V2)), b"x" * 200_000)
    with capture_logs() as logs:
        looked = await looking.look()
    assert [each["event"] for each in logs] == ["evidence_failed"]
    assert looked.seen.verdict is Verdict.OUTAGE
    assert looked.experiment.state.status is Status.HELD
    await scene.flags.update(replace(scene.flags.get(PLAN.flag), killed=True))
    assert (await looking.look()).experiment.state.status is Status.ROLLING_BACK
    assert scene.share() == 0


async def test_what_was_changed_meanwhile_is_not_decided_on(scene: Scene, looking: Looking) -> None:
    stale = await scene.start()
    await looking.look()
    with pytest.raises(VersionConflict):
        await looking.desk.looks.look(stale, looking.fence)
    await scene.leadership.release("one")
    await scene.leadership.acquire("two", 60)
    with pytest.raises(FencedOff):
        await looking.look()
    assert len(await scene.decisions()) == 2


async def test_a_split_changed_by_hand_pauses(scene: Scene, looking: Looking) -> None:
    await scene.start()
    await looking.look()
    await scene.flags.update_split(
        PLAN.flag, (SplitShare(PLAN.control, 900_000), SplitShare(V2, 100_000))
    )
    looked = await looking.look()
    assert looked.experiment.state.status is Status.PAUSED
    assert "somebody changed the split" in looked.experiment.state.reason
    await scene.ask(Request.RESUME)
    assert scene.share() == 5 * PERCENT


@pytest.mark.parametrize("then", AfterLease)
async def test_when_nobody_has_looked_for_long(
    scene: Scene, looking: Looking, then: AfterLease
) -> None:
    """Exposure freezes while no controller is there; the next look acts as the plan says."""
    quality = QualityRules(silence=MINUTE)
    plan = replace(PLAN, lease=Lease(10 * MINUTE, then), quality=quality)
    await scene.start(plan)
    await looking.look()
    await scene.come(error=0.0)
    assert (await looking.look()).experiment.state.healthy
    looked = await looking.look(HOUR)
    assert "no healthy evidence for 10m" in looked.experiment.state.reason
    if then is AfterLease.CONTROL:
        assert (scene.share(), looked.experiment.state.status) == (0, Status.ROLLING_BACK)
    else:
        assert (scene.share(), looked.experiment.state.status) == (5 * PERCENT, Status.HELD)


async def test_time_that_nobody_saw_does_not_bake(scene: Scene, looking: Looking) -> None:
    await scene.start()
    await looking.look()
    await scene.come(error=0.0)
    await looking.look()
    seen = await looking.look(2 * SECOND)
    assert seen.experiment.state.baked >= 2 * SECOND
    late = await looking.look(HOUR)
    assert late.experiment.state.healthy
    assert late.experiment.state.baked - seen.experiment.state.baked < SECOND
    assert scene.share() == 5 * PERCENT
