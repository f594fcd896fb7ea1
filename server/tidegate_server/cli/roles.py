"""`tidegate server`, `worker`, `controller` and `dashboard`: one role in this process."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from importlib.util import find_spec

import typer

from tidegate_server import embedded_store
from tidegate_server.cli.options import (
    DashboardListenOption,
    DataDirOption,
    EnvironmentOption,
    ListenOption,
    common,
)
from tidegate_server.errors import ConfigurationError
from tidegate_server.logs import configure_logs
from tidegate_server.settings import Settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

GC_THRESHOLDS = 10_000, 10, 10
"""When a server looks for garbage in cycles: rarely. A change makes objects for every watcher, and
by Python's own thresholds each few changes stop the server for a full search: 0.1 s with 1,000
watchers."""

HOW_TO_INSTALL = "pip install 'tidegate[dashboard]'"

RoleFunction = Callable[[Settings, asyncio.Event], Awaitable[None]]


def server(
    listen: ListenOption = None,
    data_dir: DataDirOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Run one gRPC server until SIGTERM."""
    from tidegate_server.bootstrap.server import run_server  # loads what only a server needs

    gc.set_threshold(*GC_THRESHOLDS)
    _run(run_server, Settings.load(listen=listen, data_dir=data_dir, environment=environment))


def worker(data_dir: DataDirOption = None, environment: EnvironmentOption = None) -> None:
    """Run one worker, which folds events into the live aggregates, until SIGTERM."""
    from tidegate_server.bootstrap.worker import run_worker

    _run(run_worker, Settings.load(data_dir=data_dir, environment=environment))


def controller(data_dir: DataDirOption = None, environment: EnvironmentOption = None) -> None:
    """Run one controller, which runs experiments while it leads, until SIGTERM."""
    from tidegate_server.bootstrap.controller import run_controller

    _run(run_controller, Settings.load(data_dir=data_dir, environment=environment))


def dashboard(
    context: typer.Context,
    listen: DashboardListenOption = None,
    data_dir: DataDirOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Run one dashboard, which shows what the server at --server has, until SIGTERM."""
    if not dashboard_installed():
        raise ConfigurationError(f"the dashboard is not installed: {HOW_TO_INSTALL}")
    from tidegate_server.cli.flag_texts import FlagTexts
    from tidegate_server.dashboard.serve import run_dashboard

    settings = Settings.load(dashboard_listen=listen, data_dir=data_dir, environment=environment)
    configure_logs(settings.log_format, settings.log_level)
    address = common(context).server

    async def run() -> None:
        await run_dashboard(settings, address, FlagTexts(), stop_on_signals())

    asyncio.run(run())


def dashboard_installed() -> bool:
    """Tell whether the extra `dashboard` is installed."""
    return find_spec("nicegui") is not None


def stop_on_signals() -> asyncio.Event:
    """Return an event of the running loop that is set when the process is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    return stop


def _run(role: RoleFunction, settings: Settings) -> None:
    configure_logs(settings.log_format, settings.log_level)

    async def run() -> None:
        stop = stop_on_signals()
        await role(await _with_store(settings), stop)

    asyncio.run(run())


async def _with_store(settings: Settings) -> Settings:
    """Return settings that name a store: the embedded one of a running `up`, unless another is set.

    Raises:
        ConfigurationError: there is none.
    """
    if settings.redis_url is not None:
        return settings
    socket = embedded_store.socket_path(settings.data_dir)
    if not await embedded_store.answers(socket):
        raise ConfigurationError(
            f"TIDEGATE_REDIS_URL is not set, and no embedded store runs in {settings.data_dir}: "
            "set it to the URL of a Redis or Valkey server, or run `tidegate up`"
        )
    return settings.model_copy(update={"redis_url": embedded_store.url(settings.data_dir)})
