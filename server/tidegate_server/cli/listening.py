"""The addresses of what `tidegate up` starts: free before, and served after."""

import asyncio
import errno
import socket

import grpc
from grpc_health.v1 import health_pb2

from tidegate_server.cli.connection import channel_options
from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import OFF, Settings, parse_address

METRICS = "127.0.0.1:9464"
"""Where the first role of `tidegate up` serves its metrics, unless another address is set."""

_ORDER = {"server": 0, "worker": 1, "controller": 2, "dashboard": 3}
"""How far a role's port for metrics is from the first; roles that are not here get any."""

_LAST_PORT = 65_535

_AGAIN_SECONDS = 0.1
_RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def reachable(listen: str) -> str:
    """Return the address at which this machine reaches what listens at `listen`."""
    host, port = parse_address(listen)
    host = _ANY_HOST.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def wait_pages(listen: str) -> None:
    """Return as soon as the dashboard answers at its address; without end otherwise."""
    host, port = parse_address(reachable(listen))
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            status = await reader.readline()
            writer.close()
            if status.split()[1:2] == [b"200"]:
                return
        except OSError:
            pass  # it does not listen yet
        await asyncio.sleep(_AGAIN_SECONDS)


async def wait_serving(listen: str) -> None:
    """Return as soon as the server's health service says SERVING; without end otherwise."""
    address = reachable(listen)
    options = [*channel_options(address), *_RECONNECT]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        while True:
            call = watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            try:
                async for answer in call:
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        call.cancel()
                        return
            except grpc.aio.AioRpcError as error:
                # the server ended while it was asked; the supervisor reports that, we ask again
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise


def free_address(listen: str) -> str:
    """Return `listen` with port 0 replaced by a free one, once it was seen to be free.

    Raises:
        ConfigurationError: it is taken, or is no address of this machine.
    """
    return _free("--listen (TIDEGATE_LISTEN)", listen)


def dashboard_address(settings: Settings) -> str:
    """Return where the dashboard of `tidegate up` listens: host:port, or `off`.

    Where no address is set and the usual port is taken, any free one is.

    Raises:
        ConfigurationError: the address is taken, or is none of this machine.
    """
    listen = settings.dashboard_listen
    if listen == OFF:
        return OFF
    if "dashboard_listen" not in settings.model_fields_set:
        return _if_free(listen) or _probed(f"{listen.rpartition(':')[0]}:0")
    return _free("TIDEGATE_DASHBOARD_LISTEN", listen)


def _free(name: str, listen: str) -> str:
    try:
        return _probed(listen)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        problem = "another program listens there" if taken else str(error.strerror or error)
        raise ConfigurationError(
            f"{name}: cannot listen on {listen}: {problem}; "
            "choose another HOST:PORT (port 0 takes any free one)"
        ) from error


def metrics_address(role: str, listen: str | None) -> str:
    """Return where a role of `tidegate up` serves its metrics: host:port, or `off`.

    listen: TIDEGATE_METRICS_LISTEN, of the first role; each has a port of its own. Whose port is
    taken gets any free one.

    Raises:
        ConfigurationError: it is no address of this machine.
    """
    if listen == OFF:
        return OFF
    listen = listen or METRICS
    host, _, port = listen.rpartition(":")
    wanted = int(port) + _ORDER[role] if int(port) and role in _ORDER else 0
    try:
        if 0 < wanted <= _LAST_PORT and (free := _if_free(f"{host}:{wanted}")):
            return free
        return _probed(f"{host}:0")
    except OSError as error:
        raise ConfigurationError(
            f"TIDEGATE_METRICS_LISTEN: cannot listen on {listen}: {error.strerror or error}; "
            "choose another HOST:PORT (port 0 takes any free ones), or `off`"
        ) from error


def _if_free(listen: str) -> str | None:
    try:
        return _probed(listen)
    except OSError:
        return None


def _probed(listen: str) -> str:
    """Return `listen` with its port, or any for port 0.

    Raises:
        OSError: it can't be listened on.
    """
    host, port = parse_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as probe:
        return f"{listen.rpartition(':')[0]}:{probe.getsockname()[1]}"
