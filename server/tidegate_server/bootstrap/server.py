"""The role `server`."""

import asyncio
import os
from typing import Any

import structlog

from tidegate_server.bootstrap.adapters import (
    SystemClock,
    aggregate_store,
    event_log,
    open_store,
    replica_policy,
)
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
from tidegate_server.signals.figures import FlagFigures
from tidegate_server.signals.http import serving_metrics
from tidegate_server.signals.live import ServerState
from tidegate_server.signals.metrics import registry_of
from tidegate_server.signals.tracing import tracing_from
from tidegate_server.storage.clock import StoreClock
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.replica_store import RedisReplicaStore

log = structlog.get_logger(__name__)


async def run_server(settings: Settings, stop: asyncio.Event) -> None:
    """Serve gRPC until `stop` is set; calls under way are then finished, and streams ended.

    Raises:
        ConfigurationError: the address can't be bound, or the store's URL is wrong.
    """
    async with open_store(settings) as client:
        health = Health()
        await health.note_store(connected=False)
        configs = RedisConfigStore(client, settings.environment)
        events = event_log(client, settings)
        clock = SystemClock()
        feed = ConfigFeed(configs, health.note_store)
        commits = Commits(configs, feed, clock)
        flags = Flags(commits)
        aggregates = aggregate_store(client, settings)
        experiments = RedisExperimentStore(
            client, settings.environment, wait_replicas=settings.wait_replicas
        )
        experiment_feed = ExperimentFeed(experiments)
        replicas = RedisReplicaStore(client, settings.environment)
        policy = replica_policy(settings)
        replica_feed = ReplicaFeed(replicas, policy)
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
                Experiments(
                    experiments, ExperimentCommits(experiments, feed), feed, StoreClock(client)
                ),
                experiment_feed,
                settings.heartbeat_seconds,
            ),
            replicas=ReplicaServicer(
                Replicas(replicas, lambda: feed.snapshot), replica_feed, policy
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
