"""The role `controller`."""

import asyncio
import secrets
from typing import Any

import structlog

from tidegate_server.bootstrap.adapters import (
    SystemClock,
    aggregate_store,
    event_log,
    open_store,
    replica_policy,
)
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
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.experiment_commits import ExperimentCommits
from tidegate_server.services.experiment_feed import ExperimentFeed
from tidegate_server.services.feed import Feed
from tidegate_server.settings import Settings
from tidegate_server.signals.controller import EXPERIMENTS
from tidegate_server.signals.http import serving_metrics
from tidegate_server.signals.metrics import registry_of
from tidegate_server.signals.replicas import REPLICAS
from tidegate_server.storage.clock import StoreClock
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.gate_results import RedisGateResults
from tidegate_server.storage.leadership import RedisLeadership
from tidegate_server.storage.outbox import RedisOutbox
from tidegate_server.storage.replica_store import RedisReplicaStore

log = structlog.get_logger(__name__)


async def run_controller(settings: Settings, stop: asyncio.Event) -> None:
    """Run experiments, whenever it is this controller's turn, until `stop` is set."""
    name, environment = secrets.token_hex(8), settings.environment
    secret = settings.webhook_secret
    web = Web(secret.get_secret_value() if secret else None, SystemClock())
    async with open_store(settings) as client, web:
        configs = ConfigFeed(RedisConfigStore(client, environment), _nobody)
        waits = settings.wait_replicas
        store = RedisExperimentStore(client, environment, wait_replicas=waits)
        experiments = ExperimentFeed(store)
        feeds: tuple[Feed[Any], ...] = (configs, experiments)
        clock = StoreClock(client)
        driver = WebhookDriver(web, environment, settings.replica_load_seconds)
        replicas = Reconciler(
            RedisReplicaStore(client, environment),
            configs,
            experiments,
            Errands(driver),
            replica_policy(settings),
        )
        gates = Gatekeeper(
            environment,
            RedisGateResults(client, environment),
            web,
            clock,
            replicas,
            allowed=settings.evaluation_programs,
        )
        evidence = Evidence(aggregate_store(client, settings), event_log(client, settings), clock)
        looks = Looks(configs, evidence, gates, ExperimentCommits(store, configs), clock)
        controller = Controller(
            Lease(
                RedisLeadership(client, environment, wait_replicas=waits),
                name,
                settings.lease_seconds,
            ),
            Schedule(experiments, looks, gates, clock),
            gates,
            replicas,
            Courier(environment, RedisOutbox(client, environment), store, web, SystemClock()),
            clock,
            feeds,
        )
        log.info("controller_started", environment=environment, controller=name)
        metrics = registry_of("controller", environment, EXPERIMENTS, REPLICAS)
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
