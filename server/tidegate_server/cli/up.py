"""`tidegate up`: all roles under one supervisor."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tidegate_server import embedded_store
from tidegate_server.cli import data_dir as directory
from tidegate_server.cli.listening import (
    dashboard_address,
    free_address,
    metrics_address,
    reachable,
    wait_pages,
    wait_serving,
)
from tidegate_server.cli.options import DataDirOption, EnvironmentOption, ListenOption
from tidegate_server.cli.render import print_text
from tidegate_server.cli.roles import HOW_TO_INSTALL, dashboard_installed, stop_on_signals
from tidegate_server.dashboard.tokens import Tokens, kept_tokens, links, set_tokens
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
        listen, pages = free_address(settings.listen), dashboard_address(settings)
        changes: dict[str, object] = {"listen": listen, "dashboard_listen": pages}
        if pages != OFF:
            tokens = set_tokens(settings) or kept_tokens(settings.data_dir)
            changes["dashboard_token"] = tokens.view
            changes["dashboard_operator_token"] = tokens.operate
        settings = settings.model_copy(update=changes)
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
    """Return the roles in the order in which they start: store, worker, server, the rest.

    They stop in the reverse order, so that what the server accepts last can still be folded.
    """
    if settings.redis_url is not None:
        return [
            _python_role("worker", settings),
            _server(settings),
            _python_role("controller", settings),
            *([_dashboard(settings)] if _has_dashboard(settings) else []),
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


def _has_dashboard(settings: Settings) -> bool:
    return settings.dashboard_listen != OFF and dashboard_installed()


def _dashboard(settings: Settings) -> Role:
    role = _python_role("dashboard", settings)
    environment = {**role.environment, "TIDEGATE_SERVER": reachable(settings.listen)}
    return replace(
        role,
        environment=environment,
        ready=lambda: wait_pages(settings.dashboard_listen),
    )


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
        pages = settings.dashboard_listen if _has_dashboard(settings) else None
        self._file = directory.RolesFile(settings.data_dir, settings.listen, pages)

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
                *_pages(settings),
                *(f"  metrics {url} ({role})" for role, url in self._metrics.items()),
                f"  logs    {directory.log_file(settings.data_dir, '*')}",
                "Stop it with Ctrl-C or SIGTERM.",
            ]
        )


def _pages(settings: Settings) -> Iterator[str]:
    """Say where the dashboard is: links with tokens, for whoever may read this."""
    if settings.dashboard_listen == OFF:
        return
    if not dashboard_installed():
        yield f"  pages   not installed: {HOW_TO_INSTALL}"
        return
    tokens = Tokens(settings.dashboard_token, settings.dashboard_operator_token)
    for each in links(reachable(settings.dashboard_listen), tokens):
        yield f"  pages   {each}"


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
