"""Orders in a real store, over simulated replicas and real HTTP."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.sdk.flags import make_flag
from tests.server.controller.conftest import SECRET
from tests.server.controller.receiver import Receiver
from tests.server.domain.experiments.samples import NOW, PERCENT, PLAN
from tests.server.domain.replicas.samples import V1, V2, order, replica
from tests.server.services.test_replica_feed import eventually
from tests.server.signals.scraping import Samples
from tests.server.storage.test_replica_store import age
from tidegate.backoff import Backoff
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import Flag, FlagChange, FlagKey, Revision, Snapshot, VariantKey
from tidegate_server.controller.lease import Term
from tidegate_server.controller.replicas.driver import WebhookDriver
from tidegate_server.controller.replicas.errands import Errands
from tidegate_server.controller.replicas.reconciler import Reconciler
from tidegate_server.controller.web import ID_HEADER, SIGNATURE_HEADER, Answer, Web, sign
from tidegate_server.domain.experiments.look import OPEN, GateState
from tidegate_server.domain.experiments.plan import ExperimentKey, Stage
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.domain.replicas.replica import (
    Policy,
    Replica,
    ReplicaId,
    ReplicaState,
    Report,
    Step,
)
from tidegate_server.errors import FencedOff
from tidegate_server.ports import Fence
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.experiment_feed import ExperimentFeed
from tidegate_server.signals.metrics import registry_of
from tidegate_server.signals.replicas import REPLICAS
from tidegate_server.storage.client import open_client
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.leadership import RedisLeadership
from tidegate_server.storage.replica_store import RedisReplicaStore

NOBODY = Fence(0)
QUICK = Policy(heartbeat=timedelta(milliseconds=50), drain=timedelta(seconds=30))
STAGED = replace(PLAN, stages=(Stage("half", 50 * PERCENT, replicas=True),))


def flag(v1: int, v2: int, revision: int = 1) -> Flag:
    return make_flag(shares=(v1, v2), phase=revision)


def snapshot(v1: int, v2: int) -> Snapshot:
    return Snapshot(Revision(1), {FlagKey("chat-model"): flag(v1, v2)})


def experiments(status: Status) -> Mapping[ExperimentKey, Experiment]:
    return {STAGED.key: Experiment(STAGED, State(status), 1, NOW, NOW)}


class Scene:
    """A reconciler over a store, and replicas that obey what the store says."""

    def __init__(self, client: Redis, environment: str, web: Web) -> None:
        self.client, self.environment = client, environment
        self.store = RedisReplicaStore(client, environment)
        self.configs = ConfigFeed(RedisConfigStore(client, environment), _nobody)
        self.experiments = ExperimentFeed(RedisExperimentStore(client, environment))
        driver = WebhookDriver(web, environment, seconds=10)
        self.errands = Errands(driver, Backoff(0.01, 0.02))
        self.reconciler = Reconciler(
            self.store, self.configs, self.experiments, self.errands, QUICK
        )
        self.loaded: dict[ReplicaId, str] = {}

    def know(self, flags: Snapshot) -> None:
        self.configs._compiled = CompiledSnapshot(flags)

    async def start(self, name: str, variant: str = "v1", **more: Any) -> None:
        one = await self.store.register(replica(name, variant, load=0.0, **more))
        self.loaded[one.id] = variant

    async def beat(self) -> list[Replica]:
        """Let every replica heartbeat and obey; return them."""
        told = []
        for name, variant in self.loaded.items():
            report = Report(ReplicaState.READY, VariantKey(variant))
            one = await self.store.heartbeat(name, report)
            if one.order is not None and one.order.step is Step.LOAD and not one.driver_url:
                self.loaded[name] = one.order.variant
            told.append(one)
        return told

    async def settle(
        self,
        wanted: Snapshot,
        held: Mapping[ExperimentKey, Experiment] | None = None,
        fence: Fence = NOBODY,
    ) -> Mapping[str, int]:
        """Tick until no order is left; return the numbers of those that serve, by variant."""
        quiet = 0

        def settled(told: list[Replica]) -> bool:
            nonlocal quiet
            quiet = quiet + 1 if all(each.order is None for each in told) else 0
            return quiet == 3

        told = await self.until(settled, lambda: self.reconciler.tick(held or {}, wanted, fence))
        return Counter(each.variant for each in told if each.takes_traffic)

    async def until(
        self,
        holds: Callable[[list[Replica]], bool],
        act: Callable[[], Awaitable[None]] | None = None,
    ) -> list[Replica]:
        """Act, and let the replicas heartbeat at their interval, until something holds."""
        async with asyncio.timeout(20):
            while True:
                if act is not None:
                    await act()
                told = await self.beat()
                if holds(told):
                    return told
                await asyncio.sleep(QUICK.heartbeat.total_seconds() * 1.1)


async def _nobody(connected: bool) -> None:
    """Hear that the store came or went."""


@pytest.fixture
async def scene(client: Redis, environment: str, web: Web) -> AsyncIterator[Scene]:
    made = Scene(client, environment, web)
    yield made
    await made.errands.stop()


async def test_replicas_follow_the_split_in_both_directions(scene: Scene) -> None:
    for index in range(4):
        await scene.start(f"r{index}")
    assert await scene.settle(snapshot(v1=100, v2=0)) == {"v1": 4}
    assert await scene.settle(snapshot(v1=75, v2=25)) == {"v1": 3, "v2": 1}
    assert await scene.settle(snapshot(v1=0, v2=100)) == {"v2": 4}
    assert await scene.settle(snapshot(v1=90, v2=10)) == {"v1": 3, "v2": 1}
    told = Samples(generate_latest(registry_of("controller", "prod", REPLICAS)).decode())
    assert told.value("tidegate_replicas", flag="chat-model", variant="v1", state="ready") == 3


async def test_a_stage_gets_its_replicas_before_its_share_and_a_rollback_gives_them_back(
    scene: Scene,
) -> None:
    for index in range(3):
        await scene.start(f"r{index}")
    all_control, entering = snapshot(v1=100, v2=0), experiments(Status.ENTERING)
    scene.know(all_control)
    gate = await scene.reconciler.replicas_ready(entering[STAGED.key])
    assert (gate.state, gate.why) == (GateState.WAITING, "0 of 2 replicas serve v2")
    assert await scene.settle(all_control, entering) == {"v1": 1, "v2": 2}
    assert await scene.reconciler.replicas_ready(entering[STAGED.key]) == OPEN
    half = snapshot(v1=50, v2=50)
    assert await scene.settle(half, experiments(Status.OBSERVING)) == {"v1": 1, "v2": 2}
    assert await scene.settle(all_control, experiments(Status.ROLLING_BACK)) == {"v1": 3}
    assert await scene.settle(snapshot(v1=0, v2=100), experiments(Status.WATCHING)) == {
        "v1": 1,
        "v2": 2,
    }
    assert await scene.settle(snapshot(v1=0, v2=100), experiments(Status.SUCCEEDED)) == {"v2": 3}


async def test_replicas_of_flags_that_are_not_there_are_left_alone(scene: Scene) -> None:
    await scene.start("r0")
    assert await scene.settle(Snapshot(Revision(1))) == {"v1": 1}


async def test_a_driver_is_told_by_signed_requests(scene: Scene, receiver: Receiver) -> None:
    receiver.answer("/d/unload", 404)
    receiver.answer("/d/load_model", 503, None, 200)
    receiver.answer("/d/health", 500, 200)
    receiver.ended.set()
    await scene.start("r0", driver_url=f"{receiver.url}/d/")
    await scene.start("r1")
    wanted = snapshot(v1=0, v2=100)
    one = ReplicaId("r0")
    await scene.until(
        lambda _: len(receiver.of("/d/health")) >= 2,
        lambda: scene.reconciler.tick({}, wanted, NOBODY),
    )
    # Its driver is done; but it takes no traffic until it says itself that it serves v2.
    assert (await scene.store.load()).replicas[one].order is not None
    scene.loaded[one] = "v2"
    assert await scene.settle(wanted) == {"v2": 2}
    (unload,) = receiver.of("/d/unload")
    assert unload.json == {"replica": "r0", "flag": "chat-model", "variant": "v1"}
    loads = receiver.of("/d/load_model")
    assert [each.method for each in loads] == ["POST"] * 3
    assert loads[0].json == {
        "replica": "r0",
        "flag": "chat-model",
        "variant": "v2",
        "value": {"model": "llama-v2", "tags": ["v2"]},
    }
    assert {each.headers[ID_HEADER] for each in loads} == {loads[0].headers[ID_HEADER]}
    signature = loads[0].headers[SIGNATURE_HEADER]
    time_s = int(signature.partition(",")[0].removeprefix("t="))
    assert signature == sign(SECRET, loads[0].body, time_s)
    assert [each.method for each in receiver.of("/d/health")] == ["GET", "GET"]
    assert scene.errands.driven((await scene.store.load()).replicas.values()) == {}


async def test_what_a_driver_refuses_is_told_and_another_is_taken(
    scene: Scene, receiver: Receiver
) -> None:
    receiver.answer("/a/load_model", *[422] * 10)
    receiver.text = "no such weights"
    for name in ("a", "b"):
        await scene.start(name, driver_url=f"{receiver.url}/{name}")
    wanted = snapshot(v1=50, v2=50)
    await scene.until(
        lambda _: bool(receiver.of("/b/load_model")),
        lambda: scene.reconciler.tick({}, wanted, NOBODY),
    )
    scene.loaded[ReplicaId("b")] = "v2"
    assert await scene.settle(wanted) == {"v1": 1, "v2": 1}
    failed = (await scene.store.load()).replicas[ReplicaId("a")]
    (failure,) = failed.failures
    assert failure.problem == "its driver answered 422: no such weights"
    scene.know(wanted)
    assert await scene.reconciler.replicas_ready(experiments(Status.ENTERING)[STAGED.key]) == OPEN


async def test_an_order_that_is_taken_back_ends_its_errand(
    scene: Scene, receiver: Receiver
) -> None:
    receiver.answer("/d/load_model", None)
    await scene.start("r0", driver_url=f"{receiver.url}/d")
    await scene.start("r1")
    wanted = snapshot(v1=50, v2=50)
    await scene.until(
        lambda _: bool(receiver.of("/d/load_model")),
        lambda: scene.reconciler.tick({}, wanted, NOBODY),
    )
    await scene.store.drain(ReplicaId("r0"))
    await scene.reconciler.tick({}, wanted, NOBODY)
    assert scene.errands.driven((await scene.store.load()).replicas.values()) == {}


async def test_what_nobody_could_hear_keeps_its_order(
    scene: Scene, client: Redis, environment: str
) -> None:
    """The store was away while a replica loaded: that it was not heard is not its failure."""
    one = await scene.store.register(replica("r0", load=0.0, order=order("v2")))
    await scene.start("r1")
    await scene.store.order([replace(one, order=replace(order("v2"), since=one.heard))], NOBODY)
    for name in ("r0", "r1"):
        await age(client, environment, ReplicaId(name), timedelta(minutes=1))
    await scene.reconciler.tick({}, snapshot(v1=50, v2=50), NOBODY)
    kept = (await scene.store.load()).replicas[one.id]
    assert kept.order is not None
    assert kept.failures == ()


async def test_no_gate_opens_for_a_flag_that_is_not_known(scene: Scene) -> None:
    gate = await scene.reconciler.replicas_ready(experiments(Status.ENTERING)[STAGED.key])
    assert (gate.state, gate.why) == (GateState.WAITING, "flag chat-model is not known")


async def test_a_former_leader_orders_nothing(
    scene: Scene, client: Redis, environment: str
) -> None:
    leadership = RedisLeadership(client, environment)
    first = await leadership.acquire("a", 10)
    await leadership.release("a")
    second = await leadership.acquire("b", 10)
    assert first is not None
    assert second is not None
    for index in range(2):
        await scene.start(f"r{index}")
    before = await scene.store.load()
    with pytest.raises(FencedOff):
        await scene.reconciler.tick({}, snapshot(v1=50, v2=50), first)
    assert (await scene.store.load()).replicas == before.replicas
    assert await scene.settle(snapshot(v1=50, v2=50), fence=second) == {"v1": 1, "v2": 1}


async def test_it_runs_for_a_term_on_what_the_process_knows(
    scene: Scene, client: Redis, environment: str
) -> None:
    configs = RedisConfigStore(client, environment)
    await configs.commit(FlagChange(Revision(1), FlagKey("chat-model"), flag(v1=50, v2=50)))
    fence = await RedisLeadership(client, environment).acquire("a", 10)
    assert fence is not None
    term, later = Term(fence), Term(fence)
    for index in range(2):
        await scene.start(f"r{index}")
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for feed in (scene.configs, scene.experiments):
            tasks.create_task(feed.run())
        running = tasks.create_task(scene.reconciler.run(term))
        await scene.until(lambda told: {each.variant for each in told} == {V1, V2})
        term.over.set()
        await running
        await RedisLeadership(client, environment).release("a")
        await RedisLeadership(client, environment).acquire("b", 10)
        await scene.start("r2")
        fenced = tasks.create_task(scene.reconciler.run(later))
        change = FlagChange(Revision(2), FlagKey("chat-model"), flag(v1=100, v2=0, revision=2))
        await configs.commit(change)
        await scene.until(lambda _: fenced.done())
        assert later.over.is_set()
        for feed in (scene.configs, scene.experiments):
            feed.end()


async def test_a_fault_does_not_end_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = 0

    async def break_down(*_: object) -> None:
        nonlocal faults
        faults += 1
        raise ZeroDivisionError

    monkeypatch.setattr(scene.reconciler, "tick", break_down)
    monkeypatch.setattr("tidegate_server.controller.replicas.reconciler.AGAIN_SECONDS", 0.01)
    scene.configs.ready.set()
    scene.experiments.ready.set()
    term = Term(NOBODY)
    async with asyncio.timeout(20):
        running = asyncio.ensure_future(scene.reconciler.run(term))
        await eventually(lambda: faults >= 3)
        term.over.set()
        await running


async def test_a_driver_that_breaks_fails_its_replica(scene: Scene) -> None:
    class Broken:
        async def load_model(self, *_: object) -> Answer:
            raise ZeroDivisionError("in the driver")

        unload = health = load_model

    errands = Errands(Broken())
    one = replica("a", order=order("v2"), driver_url="http://d")
    errands.keep({one: {}})
    async with asyncio.timeout(20):
        await eventually(lambda: bool(errands.driven([one])[one.id].problem))
    assert errands.driven([one])[one.id].problem == "ZeroDivisionError: in the driver"
    assert errands.driven([replace(one, order=order("v3"))]) == {}
    await errands.stop()
    assert errands.driven([one]) == {}


async def test_while_the_store_is_away_it_goes_on_trying(environment: str, web: Web) -> None:
    nowhere = open_client("redis://127.0.0.1:1")
    term = Term(NOBODY)

    def tried_twice() -> bool:
        return [line["event"] for line in said].count("replicas_not_ordered") >= 2

    with capture_logs() as said:
        async with asyncio.timeout(20):
            running = asyncio.ensure_future(Scene(nowhere, environment, web).reconciler.run(term))
            await eventually(tried_twice)
            term.over.set()
            await running
    await nowhere.aclose()
