"""`tidegate up`: all roles under one supervisor."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from tidegate_server import embedded_store
from tidegate_server.cli import data_dir as directory
from tidegate_server.cli.listening import free_address, metrics_address, wait_serving
from tidegate_server.cli.options import DataDirOption, EnvironmentOption, ListenOption
from tidegate_server.cli.render import print_text
from tidegate_server.cli.roles import stop_on_signals
from tidegate_server.settings import (
    METRICS_PATH,
    OFF,
    Settings,
    child_environment,
    without_password,
)
from tidegate_server.supervisor.restarts import RestartPolicy
from tidegate_server.supervisor.role import (
    AllReady,
    Died,
    Role,
    RoleEvent,
    Started,
    Stopped,
    log_tail,
)
from tidegate_server.supervisor.supervisor import Supervisor

_GRACE_BEYOND_SECONDS = 2.0
"""A role is given this much longer than it gives its own work."""

_FAILURES_WORTH_A_LOG = 3
"""Failures in a row from which on the end of the log is shown."""


def run_up(settings: Settings) -> None:
    """Run all roles until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the directory is in use, the address is taken, or there is no store.
        RoleFailed: a role does not start.
    """
    directory.make(settings.data_dir)
    with directory.locked(settings.data_dir):
        settings = settings.model_copy(update={"listen": free_address(settings.listen)})
        asyncio.run(_supervise(settings))


async def _supervise(settings: Settings) -> None:
    stop = stop_on_signals()
    roles = _roles(settings)
    reporter = _Reporter(settings, roles)
    supervisor = Supervisor(
        roles,
        policy=RestartPolicy(),
        grace=settings.grace_seconds + _GRACE_BEYOND_SECONDS,
        notify=reporter,
    )
    try:
        await supervisor.run(stop)
    finally:
        reporter.close()


def _roles(settings: Settings) -> list[Role]:
    """Return the roles in the order in which they start: store, worker, server, controller.

    They stop in the reverse order, so that what the server accepts last can still be folded.
    """
    if settings.redis_url is not None:
        return [
            _python_role("worker", settings),
            _server(settings),
            _python_role("controller", settings),
        ]
    store = _store(settings)
    url = embedded_store.url(settings.data_dir)
    return [store, *_roles(settings.model_copy(update={"redis_url": url}))]


def _store(settings: Settings) -> Role:
    embedded_store.prepare(settings.data_dir)
    path = embedded_store.socket_path(settings.data_dir)
    return Role(
        "store",
        embedded_store.command(settings.data_dir, settings.fsync),
        directory.log_file(settings.data_dir, "store"),
        dict(os.environ),
        lambda: embedded_store.wait_ready(path),
    )


def _server(settings: Settings) -> Role:
    role = _python_role("server", settings)
    return replace(role, ready=lambda: wait_serving(settings.listen))


def _python_role(name: str, settings: Settings) -> Role:
    metrics = metrics_address(name, settings.metrics_listen)
    settings = settings.model_copy(update={"metrics_listen": metrics})
    return Role(
        name,
        (sys.executable, "-P", "-m", "tidegate_server.cli", name),
        directory.log_file(settings.data_dir, name),
        {**child_environment(settings), "PYTHONUNBUFFERED": "1", "TIDEGATE_DEBUG": "1"},
        metrics=None if metrics == OFF else f"http://{metrics}{METRICS_PATH}",
    )


class _Reporter:
    """Tells people, and roles.json, what the supervisor does."""

    def __init__(self, settings: Settings, roles: Sequence[Role]) -> None:
        self._settings = settings
        self._metrics = {role.name: role.metrics for role in roles if role.metrics}
        self._file = directory.RolesFile(settings.data_dir, settings.listen)

    def __call__(self, event: RoleEvent) -> None:
        match event:
            case Started(role, pid, restarts):
                self._file.started(role, pid, restarts, self._metrics.get(role))
                if restarts:
                    print_text(f"{role}: runs again as process {pid}")
            case AllReady():
                self._file.ready()
                print_text(self._welcome())
            case Died():
                print_text(_obituary(event))
            case Stopped(role, killed):
                print_text(f"{role}: {'killed, it did not stop in time' if killed else 'stopped'}")

    def close(self) -> None:
        self._file.remove()

    def _welcome(self) -> str:
        settings = self._settings
        store = (
            f"embedded Valkey at {embedded_store.url(settings.data_dir)}"
            if settings.redis_url is None
            else without_password(settings.redis_url)
        )
        return "\n".join(
            [
                f"Tidegate is ready (environment {settings.environment})",
                f"  server  {settings.listen}",
                f"  store   {store}",
                *(f"  metrics {url} ({role})" for role, url in self._metrics.items()),
                f"  logs    {directory.log_file(settings.data_dir, '*')}",
                "Stop it with Ctrl-C or SIGTERM.",
            ]
        )


def _obituary(event: Died) -> str:
    line = f"{event.role.name}: ended ({event.cause}); starts again in {event.delay:.1f} s"
    if event.failures < _FAILURES_WORTH_A_LOG:
        return line
    tail = log_tail(event.role.log).replace("\n", "\n  ")
    return f"{line}; {event.failures} times in a row; the end of {event.role.log}:\n  {tail}"


def up(
    listen: ListenOption = None,
    data_dir: DataDirOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Run all roles, and an embedded Valkey unless TIDEGATE_REDIS_URL is set."""
    run_up(Settings.load(listen=listen, data_dir=data_dir, environment=environment))
