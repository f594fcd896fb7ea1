"""Serves `/metrics` over HTTP, from a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import METRICS_PATH, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.1
"""How long a stop may have to wait."""


@asynccontextmanager
async def serving_metrics(listen: str | None, registry: CollectorRegistry) -> AsyncIterator[None]:
    """Serve what `registry` holds at "host:port" during the block; nothing where it is None.

    Raises:
        ConfigurationError: the address can't be bound.
    """
    if listen is None:
        yield
        return
    server = _bind(listen, registry)
    thread = threading.Thread(
        target=server.serve_forever, args=(_POLL_SECONDS,), name="tidegate-metrics", daemon=True
    )
    thread.start()
    host = listen.rpartition(":")[0]
    log.info("metrics_served", url=f"http://{host}:{server.server_address[1]}{METRICS_PATH}")
    try:
        yield
    finally:
        # Its threads may wait for this loop: it has to go on meanwhile.
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request, so that a scraper that is slow keeps nobody waiting."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, without asking for the host's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, *_: object) -> None:
        """Note what went wrong with a peer."""
        log.debug("scraper_lost", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = 10.0  # seconds for a peer that says nothing

    def log_message(self, *_: object) -> None:
        """Leave requests out of the log."""


def _bind(listen: str, registry: CollectorRegistry) -> _Server:
    host, port = parse_address(listen)

    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = Server((host, port), _Handler)
    except OSError as error:
        raise ConfigurationError(
            f"TIDEGATE_METRICS_LISTEN: cannot listen on {listen}: {error.strerror or error}; "
            "choose another HOST:PORT (port 0 takes any free one), or `off`"
        ) from error
    server.set_app(_only_metrics(make_wsgi_app(registry)))
    return server


def _only_metrics(metrics: "WSGIApplication") -> "WSGIApplication":
    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        status, text = "404 Not Found", f"there is nothing but {METRICS_PATH}\n"
        if environ["PATH_INFO"] == METRICS_PATH:
            try:
                return metrics(environ, start_response)
            except Exception:
                log.exception("scrape_failed")
                status, text = "500 Internal Server Error", "the role's log has the cause\n"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text.encode()]

    return answer
