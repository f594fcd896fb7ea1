"""The one place that constructs adapters and joins them into roles."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis

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
from tidegate_server.domain.diagnosis import Finding, ShardState, judge_shards, judge_store
from tidegate_server.domain.replicas.replica import Policy
from tidegate_server.rpc.assignment import AssignmentServicer
from tidegate_server.rpc.calls import CallsUnderWay, stop_server
from tidegate_server.rpc.events import EventServicer
from tidegate_server.rpc.experiments import ExperimentServicer
from tidegate_server.rpc.flags import FlagServicer
from tidegate_server.rpc.replicas import ReplicaServicer
from tidegate_server.rpc.reports import ReportServicer
from tidegate_server.rpc.segments import SegmentServicer
from tidegate_server.rpc.server import Health, build
from tidegate_server.services.commits import Commits
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.experiment_commits import ExperimentCommits
from tidegate_server.services.experiment_feed import ExperimentFeed
from tidegate_server.services.experiments import Experiments
from tidegate_server.services.feed import Feed
from tidegate_server.services.flag_history import FlagHistory
from tidegate_server.services.flags import Flags
from tidegate_server.services.known_arms import KnownArms
from tidegate_server.services.replica_feed import ReplicaFeed
from tidegate_server.services.replicas import Replicas
from tidegate_server.services.reports import Reports
from tidegate_server.services.segments import Segments
from tidegate_server.services.series import SeriesReader
from tidegate_server.services.watchers import Watchers
from tidegate_server.settings import Settings
from tidegate_server.signals.backlogs import Backlogs
from tidegate_server.signals.controller import EXPERIMENTS
from tidegate_server.signals.figures import FlagFigures
from tidegate_server.signals.http import serving_metrics
from tidegate_server.signals.live import ServerState
from tidegate_server.signals.metrics import registry_of
from tidegate_server.signals.tracing import tracing_from
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.clock import StoreClock
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.gate_results import RedisGateResults
from tidegate_server.storage.inspection import inspect_store
from tidegate_server.storage.leadership import RedisLeadership
from tidegate_server.storage.members import RedisMembers
from tidegate_server.storage.outbox import RedisOutbox
from tidegate_server.storage.rejected import RejectedBatches
from tidegate_server.storage.replica_store import RedisReplicaStore
from tidegate_server.worker.loop import Worker

log = structlog.get_logger(__name__)
T = TypeVar("T")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment."""
        return datetime.now(UTC)


async def run_server(settings: Settings, stop: asyncio.Event) -> None:
    """Serve gRPC until `stop` is set; calls under way are then finished, and streams ended.

    Raises:
        ConfigurationError: the address can't be bound, or the store's URL is wrong.
    """
    async with _store(settings) as client:
        health = Health()
        await health.note_store(connected=False)
        configs = RedisConfigStore(client, settings.environment)
        events = _event_log(client, settings)
        clock = SystemClock()
        feed = ConfigFeed(configs, health.note_store)
        commits = Commits(configs, feed, clock)
        flags = Flags(commits)
        aggregates = _aggregate_store(client, settings)
        experiments = RedisExperimentStore(client, settings.environment)
        experiment_feed = ExperimentFeed(experiments)
        replicas = RedisReplicaStore(client, settings.environment)
        replica_feed = ReplicaFeed(replicas, settings.replica_heartbeat_seconds)
        calls = CallsUnderWay()
        watchers = Watchers()
        server = build(
            settings.listen,
            flags=FlagServicer(flags, FlagHistory(configs)),
            segments=SegmentServicer(Segments(commits)),
            assignments=AssignmentServicer(
                feed, settings.heartbeat_seconds, watchers, settings.environment
            ),
            events=EventServicer(events, KnownArms(configs, feed), clock),
            reports=ReportServicer(flags, Reports(aggregates), SeriesReader(aggregates), clock),
            experiments=ExperimentServicer(
                Experiments(experiments, ExperimentCommits(experiments, feed), feed, clock),
                experiment_feed,
                settings.heartbeat_seconds,
            ),
            replicas=ReplicaServicer(
                Replicas(replicas, lambda: feed.snapshot), replica_feed, _replica_policy(settings)
            ),
            health=health,
            calls=calls,
            tracing=tracing_from(os.environ, "server"),
        )
        metrics = registry_of(
            "server",
            settings.environment,
            ServerState(feed, watchers),
            FlagFigures(feed, aggregates, settings.metrics_flags),
        )
        async with (
            serving_metrics(settings.metrics_address, metrics),
            asyncio.TaskGroup() as tasks,
        ):
            await server.start()
            log.info("server_started", listen=settings.listen, environment=settings.environment)
            feeds: tuple[Feed[Any], ...] = (feed, experiment_feed, replica_feed)
            following = [tasks.create_task(each.run()) for each in feeds]
            await stop.wait()
            await health.close()
            for each in feeds:
                each.close()
            await stop_server(server, calls, settings.grace_seconds)
            for each, task in zip(feeds, following, strict=True):
                each.end()
                task.cancel()
        log.info("server_stopped")


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Fold events until `stop` is set; the run under way is then finished."""
    async with _store(settings) as client:
        backlogs = Backlogs()
        worker = Worker(
            _event_log(client, settings),
            _aggregate_store(client, settings),
            RedisMembers(client, settings.environment),
            backlogs=backlogs,
        )
        log.info("worker_started", environment=settings.environment, shards=settings.shards)
        metrics = registry_of("worker", settings.environment, backlogs)
        async with serving_metrics(settings.metrics_address, metrics):
            await worker.run(stop)
        log.info("worker_stopped")


async def run_controller(settings: Settings, stop: asyncio.Event) -> None:
    """Run experiments, whenever it is this controller's turn, until `stop` is set."""
    name, environment = secrets.token_hex(8), settings.environment
    secret = settings.webhook_secret
    web = Web(secret.get_secret_value() if secret else None, SystemClock())
    async with _store(settings) as client, web:
        configs = ConfigFeed(RedisConfigStore(client, environment), _nobody)
        store = RedisExperimentStore(client, environment)
        experiments = ExperimentFeed(store)
        feeds: tuple[Feed[Any], ...] = (configs, experiments)
        clock = StoreClock(client)
        driver = WebhookDriver(web, environment, settings.replica_load_seconds)
        replicas = Reconciler(
            RedisReplicaStore(client, environment),
            configs,
            experiments,
            Errands(driver),
            _replica_policy(settings),
        )
        gates = Gatekeeper(
            environment,
            RedisGateResults(client, environment),
            web,
            clock,
            replicas,
            allowed=settings.evaluation_programs,
        )
        evidence = Evidence(_aggregate_store(client, settings), _event_log(client, settings), clock)
        looks = Looks(configs, evidence, gates, ExperimentCommits(store, configs), clock)
        controller = Controller(
            Lease(RedisLeadership(client, environment), name, settings.lease_seconds),
            Schedule(experiments, looks, gates, clock),
            gates,
            replicas,
            Courier(environment, RedisOutbox(client, environment), store, web, SystemClock()),
            clock,
            feeds,
        )
        log.info("controller_started", environment=environment, controller=name)
        metrics = registry_of("controller", environment, EXPERIMENTS)
        async with (
            serving_metrics(settings.metrics_address, metrics),
            asyncio.TaskGroup() as tasks,
        ):
            following = [tasks.create_task(each.run()) for each in feeds]
            await controller.run(stop)
            for each, task in zip(feeds, following, strict=True):
                each.end()
                task.cancel()
        log.info("controller_stopped")


async def _nobody(connected: bool) -> None:
    """Hear that the store came or went, and tell nobody."""


async def examine(settings: Settings) -> Sequence[Finding]:
    """Return what `tidegate doctor` finds.

    Raises:
        StoreUnavailable: the store can't be reached.
        ConfigurationError: there is no store to reach.
    """
    async with _store(settings) as client:
        log = _event_log(client, settings)
        rejected = RejectedBatches(client, settings.environment, settings.shards)
        living = await RedisMembers(client, settings.environment).living()
        shards = [
            ShardState(
                shard=shard,
                entries=backlog.entries,
                bytes_ahead=backlog.bytes_ahead,
                age_seconds=backlog.age_seconds,
                set_aside=await rejected.count(shard),
            )
            for shard in log.shards
            for backlog in [await log.backlog(shard)]
        ]
        return [
            *judge_store(await inspect_store(client), settings.wait_replicas),
            *judge_shards(shards, len(living), settings.max_stream_mb << 20),
        ]


async def with_rejected(settings: Settings, work: Callable[[RejectedBatches], Awaitable[T]]) -> T:
    """Do something with the batches that workers set aside.

    Raises:
        ConfigurationError: there is no store to reach.
    """
    async with _store(settings) as client:
        return await work(RejectedBatches(client, settings.environment, settings.shards))


def _replica_policy(settings: Settings) -> Policy:
    """Return how patient the settings are with replicas."""
    return Policy(
        heartbeat=timedelta(seconds=settings.replica_heartbeat_seconds),
        drain=timedelta(seconds=settings.replica_drain_seconds),
        load=timedelta(seconds=settings.replica_load_seconds),
    )


def _aggregate_store(client: Redis, settings: Settings) -> RedisAggregateStore:
    return RedisAggregateStore(
        client,
        settings.environment,
        settings.shards,
        retention=timedelta(days=settings.retention_days),
    )


def _event_log(client: Redis, settings: Settings) -> RedisEventLog:
    return RedisEventLog(
        client,
        settings.environment,
        settings.shards,
        batch_memory=timedelta(hours=settings.batch_memory_hours),
        max_bytes=settings.max_stream_mb << 20,
        wait_replicas=settings.wait_replicas,
    )


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Redis]:
    client = open_client(settings.redis_url)
    try:
        yield client
    finally:
        await client.aclose()
