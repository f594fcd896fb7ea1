"""The role `dashboard`: a process that serves pages."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from nicegui import Client, core, ui
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from tidegate_server.dashboard.access import Access
from tidegate_server.dashboard.api import Api
from tidegate_server.dashboard.environment import Environment
from tidegate_server.dashboard.guard import Guard
from tidegate_server.dashboard.pages.page import Site
from tidegate_server.dashboard.routes import add_pages
from tidegate_server.dashboard.texts import FlagTexts
from tidegate_server.dashboard.tokens import tokens_of
from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import OFF, Settings, parse_address, parse_servers
from tidegate_server.signals.http import serving_metrics
from tidegate_server.signals.metrics import registry_of

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 10.0
"""How long a page is kept for a browser that lost its connection; a later one loads it anew.

A browser that says nothing for 1.2 times as long is taken for gone: it may only be busy."""

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="none" '
    'stroke="#0072b2" stroke-width="2.5" d="M2.5 15V5h11v10"/><path stroke="#0072b2" '
    'stroke-width="5" d="M1 4h14"/></svg>'
)
_STATIC = Path(__file__).parent / "static"


async def run_dashboard(
    settings: Settings, server: str, texts: FlagTexts, stop: asyncio.Event
) -> None:
    """Serve pages until `stop` is set. server: address of the environment's server.

    Raises:
        ConfigurationError: the address can't be bound, or tokens are missing.
    """
    if settings.dashboard_listen == OFF:
        raise ConfigurationError("TIDEGATE_DASHBOARD_LISTEN: off; give the address to listen on")
    access = Access(tokens_of(settings))
    servers = _servers(settings, server)
    environments = {name: Environment(name, Api(address)) for name, address in servers.items()}
    add_pages(Site(access, environments), texts)
    metrics = registry_of("dashboard", settings.environment, OpenPages())
    with _bound(settings.dashboard_listen) as listening:
        host, port = listening.getsockname()[:2]
        names = {host, *(settings.dashboard_hosts or host).split(",")}
        web = _Web(_config(_app(access, names, cookie=f"tidegate_{port}")))
        log.info("dashboard_started", listen=settings.dashboard_listen, servers=dict(servers))
        async with (
            serving_metrics(settings.metrics_address, metrics),
            asyncio.TaskGroup() as tasks,
        ):
            following = [tasks.create_task(each.run()) for each in environments.values()]
            serving = tasks.create_task(web.serve(sockets=[listening]))
            await stop.wait()
            web.should_exit = True
            await serving
            for task in following:
                task.cancel()
    log.info("dashboard_stopped")


def _bound(listen: str) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigurationError: the address is taken, or is none of this machine.
    """
    host, port = parse_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"TIDEGATE_DASHBOARD_LISTEN: cannot listen on {listen} ({error.strerror or error}): "
            "choose another HOST:PORT (port 0 takes any free one)"
        ) from error


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )


def _servers(settings: Settings, server: str) -> Mapping[str, str]:
    if settings.dashboard_servers is not None:
        return parse_servers(settings.dashboard_servers)
    return {settings.environment: server}


def _app(access: Access, names: set[str], cookie: str) -> ASGIApp:
    app = FastAPI(openapi_url=None)
    app.mount("/static", StaticFiles(directory=_STATIC))
    ui.run_with(
        app,
        title="Tidegate",
        favicon=_ICON,
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=RECONNECT_SECONDS,
        message_history_length=100,
        gzip_middleware_factory=None,  # ours is outside of the guard, which changes pages
        show_welcome_message=False,
    )
    _keep_sockets_apart()
    return GZipMiddleware(Guard(app, access=access, names=names, cookie=cookie))


def _keep_sockets_apart() -> None:
    """Let a socket speak for its own page alone: by itself NiceGUI believes any that names one."""
    handlers = core.sio.handlers["/"]
    for event in ("event", "javascript_response", "ack", "log"):
        handlers[event] = _of_own_page(handlers[event])


def _of_own_page(handle: Callable[[str, dict[str, Any]], None]) -> Callable[..., None]:
    def checked(sid: str, message: dict[str, Any]) -> None:
        if message.get("client_id") in core.sio.rooms(sid):
            handle(sid, message)
        else:
            log.warning("event_refused", socket=sid)

    return checked


class OpenPages(Collector):
    """How many pages browsers have open."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metric; called by a thread of its own."""
        pages = [each for each in tuple(Client.instances.values()) if each.has_socket_connection]
        yield GaugeMetricFamily(
            "tidegate_dashboard_pages", "Pages that browsers have open.", value=len(pages)
        )


class _Web(uvicorn.Server):
    """A web server that leaves signals to the role."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
