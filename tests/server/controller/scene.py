"""A real store with a flag, experiments and events, and controllers at work on it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from tests.server.services.test_commits import ignore
from tests.server.storage.samples import flag as flag_draft
from tidegate.backoff import Backoff
from tidegate.model import PPM, FlagKey, SplitShare, VariantKey
from tidegate.v1 import event_service_pb2
from tidegate_server.bootstrap.adapters import SystemClock
from tidegate_server.controller.controller import Controller
from tidegate_server.controller.evidence import Evidence
from tidegate_server.controller.gatekeeper import Gatekeeper
from tidegate_server.controller.lease import Lease
from tidegate_server.controller.looks import Looks
from tidegate_server.controller.notifications.courier import Courier
from tidegate_server.controller.replicas.driver import WebhookDriver
from tidegate_server.controller.replicas.errands import Errands
from tidegate_server.controller.replicas.reconciler import Reconciler
from tidegate_server.controller.schedule import Schedule
from tidegate_server.controller.web import Web
from tidegate_server.domain.events import BatchId, Shard
from tidegate_server.domain.experiments.plan import (
    Ceiling,
    ExperimentKey,
    MetricName,
    Plan,
    QualityRules,
    Stage,
)
from tidegate_server.domain.experiments.records import Experiment, NumberedDecision
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import Status
from tidegate_server.domain.replicas.replica import Policy
from tidegate_server.services.commits import Commits
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.experiment_commits import ExperimentCommits
from tidegate_server.services.experiment_feed import ExperimentFeed
from tidegate_server.services.experiments import Experiments
from tidegate_server.services.feed import Feed
from tidegate_server.services.flags import Flags
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.clock import StoreClock
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.gate_results import RedisGateResults
from tidegate_server.storage.leadership import RedisLeadership
from tidegate_server.storage.outbox import RedisOutbox
from tidegate_server.storage.replica_store import RedisReplicaStore
from tidegate_server.worker.run import Limits
from tidegate_server.worker.shard import ShardFolder

V1, V2 = VariantKey("v1"), VariantKey("v2")
PERCENT = PPM // 100
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)

PLAN = Plan(
    key=ExperimentKey("chat-v2"),
    flag=FlagKey("chat-model"),
    control=V1,
    treatment=V2,
    stages=(Stage("canary", 5 * PERCENT, bake=MINUTE), Stage("full", PPM, bake=MINUTE)),
    guardrails=(Ceiling(MetricName("error"), 0.1, window=HOUR, least_events=10),),
    quality=QualityRules(silence=10 * HOUR),
    interval=SECOND,
)
"""Patient with silence, so that a test may move its clock on."""


@dataclass
class MovedClock:
    """The store's clock, and `ahead` of it as far as a test says."""

    store: StoreClock
    ahead: timedelta = timedelta()

    async def read(self) -> None:
        await self.store.read()

    def now(self) -> datetime:
        return self.store.now() + self.ahead


@dataclass
class Desk:
    """One controller's parts. clock: its own."""

    clock: MovedClock
    gates: Gatekeeper
    looks: Looks
    schedule: Schedule
    controller: Controller
    courier: Courier


@dataclass
class Scene:
    """The store and what people do to it."""

    client: Redis
    environment: str
    web: Web
    configs: ConfigFeed
    told: ExperimentFeed
    flags: Flags
    experiments: Experiments
    store: RedisExperimentStore
    log: RedisEventLog
    aggregates: RedisAggregateStore
    leadership: RedisLeadership
    allowed: frozenset[str] = frozenset()

    def desk(self, name: str = "one") -> Desk:
        """Return a controller."""
        clock = MovedClock(StoreClock(self.client))
        results = RedisGateResults(self.client, self.environment)
        replicas = Reconciler(
            RedisReplicaStore(self.client, self.environment),
            self.configs,
            self.told,
            Errands(WebhookDriver(self.web, self.environment, 10)),
            Policy(),
        )
        gates = Gatekeeper(
            self.environment, results, self.web, clock, replicas, allowed=self.allowed
        )
        evidence = Evidence(self.aggregates, self.log, clock)
        commits = ExperimentCommits(self.store, self.configs)
        looks = Looks(self.configs, evidence, gates, commits, clock)
        schedule = Schedule(self.told, looks, gates, clock)
        outbox = RedisOutbox(self.client, self.environment)
        courier = Courier(
            self.environment,
            outbox,
            self.store,
            self.web,
            SystemClock(),
            again=Backoff(0.02, 0.02),
        )
        lease = Lease(self.leadership, name, 2.0)
        feeds = (self.configs, self.told)
        controller = Controller(lease, schedule, gates, replicas, courier, clock, feeds)
        return Desk(clock, gates, looks, schedule, controller, courier)

    async def start(self, plan: Plan = PLAN) -> Experiment:
        """Create the flag and the experiment, and start it."""
        split = (SplitShare(V1, PPM), SplitShare(V2, 0))
        await self.flags.create(replace(flag_draft(plan.flag), split=split))
        await self.experiments.create(plan)
        return await self.ask(Request.START, plan.key)

    async def ask(self, request: Request, key: ExperimentKey = PLAN.key) -> Experiment:
        return await self.experiments.ask(key, Command(request, "anna"))

    def share(self, key: FlagKey = PLAN.flag) -> int:
        """Return the treatment's share in ppm."""
        return self.configs.snapshot.flags[key].split[1].ppm

    async def decisions(self, key: ExperimentKey = PLAN.key) -> list[NumberedDecision]:
        return list(await self.store.decisions(key, 0, 1_000))

    async def await_status(self, *statuses: Status, key: ExperimentKey = PLAN.key) -> Experiment:
        """Wait until an experiment is in one of these; the test's time limit ends it otherwise."""
        while (found := self.told.experiments.get(key)) is None or (
            found.state.status not in statuses
        ):
            await self.told.changes_after(self.told.position, self.told.epoch, 1.0)
        return found

    async def report(self, variant: VariantKey, number: int, **outcomes: float) -> None:
        """Append what so many new units of a variant report: an exposure and these outcomes."""
        flag = self.configs.snapshot.flags[PLAN.flag]
        seconds, microseconds = await self.client.time()
        names = ["", *outcomes]
        batch = event_service_pb2.EventBatch(
            batch_id=secrets.token_bytes(16),
            series=[
                event_service_pb2.Series(
                    flag_key=flag.key, variant=variant, phase=flag.phase, outcome=name
                )
                for name in names
            ],
            base_time_ms=int(seconds) * 1000 + int(microseconds) // 1000,
            series_indexes=[index for index in range(len(names)) for _ in range(number)],
            unit_hashes=[secrets.randbits(64) for _ in range(number)] * len(names),
            time_offsets_ms=[0] * (number * len(names)),
            values=[value for value in (1.0, *outcomes.values()) for _ in range(number)],
        )
        await self.log.append(BatchId(batch.batch_id), batch.SerializeToString())

    async def fold(self) -> None:
        """Fold all that was reported."""
        for shard in self.log.shards:
            folder = ShardFolder(
                self.log, self.aggregates, Shard(shard), limits=Limits(), cached_arms=1
            )
            while (await self.log.backlog(shard)).entries:
                await folder.fold(await folder.read())

    async def come(self, number: int = 1_000, **outcomes: float) -> None:
        """Have so many units report the same in both variants, split as the flag says."""
        treated = number * self.share() // PPM
        for variant, units in ((V1, number - treated), (V2, treated)):
            if units:
                await self.report(variant, units, **outcomes)
        await self.fold()


@asynccontextmanager
async def scene(client: Redis, environment: str, web: Web) -> AsyncIterator[Scene]:
    """Set the scene."""
    stored = RedisConfigStore(client, environment)
    configs = ConfigFeed(stored, ignore)
    store = RedisExperimentStore(client, environment)
    told, clock = ExperimentFeed(store), SystemClock()
    async with asyncio.TaskGroup() as tasks:
        feeds: tuple[Feed[Any], ...] = (configs, told)
        following = [tasks.create_task(each.run()) for each in feeds]
        await asyncio.gather(configs.ready.wait(), told.ready.wait())
        commits = ExperimentCommits(store, configs)
        yield Scene(
            client,
            environment,
            web,
            configs,
            told,
            Flags(Commits(stored, configs, clock)),
            Experiments(store, commits, configs, StoreClock(client)),
            store,
            RedisEventLog(client, environment, 1),
            RedisAggregateStore(client, environment, 1),
            RedisLeadership(client, environment),
        )
        for each, task in zip(feeds, following, strict=True):
            each.end()
            task.cancel()
