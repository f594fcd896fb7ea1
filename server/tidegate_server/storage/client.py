"""The connection to a Redis-protocol server, its scripts, and what its errors mean here."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

from tidegate_server.errors import ConfigurationError, StoreFull, StoreUnavailable
from tidegate_server.signals.metrics import STORE_ERRORS
from tidegate_server.storage.sentinel import SCHEME, PrimaryPool, SentinelUrl

TIMEOUT_SECONDS = 5.0
"""How long to wait for a connection, and for a reply: well above the second that reads block."""

CONNECTIONS = 64
"""Most connections of a process; whoever comes when all are in use waits."""

_RETRIES = 2
"""How often a lost command is sent again. Scripts recognise their own repetition."""

_REPLICAS_MS = 1_000
"""How long to wait for replicas."""

_REFUSED_RETRY_SECONDS, _OUT_OF_MEMORY_RETRY_SECONDS = 1.0, 5.0
"""When to try again, where the store answers that it can't for now."""

_UNREACHABLE = (exceptions.ConnectionError, exceptions.TimeoutError)
_ADVICE: tuple[tuple[type[Exception] | str, str], ...] = (
    (exceptions.AuthenticationError, "check the user and the password in TIDEGATE_REDIS_URL"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "leave the user out of TIDEGATE_REDIS_URL"),
    (exceptions.NoPermissionError, "allow this to the user in TIDEGATE_REDIS_URL (ACL SETUSER)"),
    (exceptions.BusyLoadingError, "it loads its data: wait until it has"),
    (exceptions.MasterDownError, "it is a replica: TIDEGATE_REDIS_URL must name the primary"),
    (exceptions.ReadOnlyError, "it is a replica: TIDEGATE_REDIS_URL must name the primary"),
    ("UNBLOCKED", "it became a replica: TIDEGATE_REDIS_URL must name the primary"),
    (
        exceptions.AskError,
        "it is one node of a cluster: TIDEGATE_REDIS_URL must name a store alone",
    ),
    (exceptions.TryAgainError, "its cluster moves keys: wait until it has"),
    (exceptions.ClusterDownError, "its cluster is not complete: see CLUSTER INFO there"),
    ("MISCONF", "it can't write to its disk: see its log, and make room there"),
    ("NOREPLICAS", "start its replicas, or lower its min-replicas-to-write"),
    ("BUSY ", "it runs somebody's long script: wait, or end that with SCRIPT KILL there"),
    ("max number of clients", "raise its maxclients, or run fewer servers and workers"),
    (exceptions.InvalidResponse, "it speaks another protocol: check TIDEGATE_REDIS_URL"),
)
"""What to do about refusals: by class, or by first words where redis-py has no class of its own.
MovedError is an AskError, MasterDownError a ClusterDownError: the first that fits counts."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: it runs as one atomic step."""

    source: bytes
    digest: str

    @classmethod
    def named(cls, name: str, *libraries: str) -> "Script":
        """Read `<name>.lua` from beside this module, with `libraries` behind its first line."""
        first, *rest = _source(name).splitlines(keepends=True)
        source = b"".join([first, *map(_source, libraries), *rest])
        return cls(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


def open_client(url: str | None) -> Redis:
    """Return a client of the server at `url`; it connects when it is first used.

    Raises:
        ConfigurationError: the URL is missing or malformed.
    """
    if url is None:
        raise ConfigurationError(
            "TIDEGATE_REDIS_URL is not set: give the URL of a Redis or Valkey server, "
            "or run `tidegate up`, which brings its own"
        )
    try:
        return Redis.from_pool(_pool(url))
    except ValueError as error:
        raise ConfigurationError(
            "TIDEGATE_REDIS_URL: it must look like redis://host:6379/0, rediss://host:6379/0, "
            f"unix:///path/to/socket or {SCHEME}://host:26379,host:26379/service/0 ({error})"
        ) from None


def _pool(url: str) -> BlockingConnectionPool:
    scheme = urlsplit(url).scheme
    timeouts: dict[str, Any] = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
    }
    if scheme != "unix":
        timeouts["socket_keepalive"] = True
    options: dict[str, Any] = {
        "max_connections": CONNECTIONS,
        "timeout": TIMEOUT_SECONDS,
        "health_check_interval": 30,
        "retry": Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), _RETRIES),
        "protocol": 2,  # replies then have one shape in every redis-py that we support
    }
    if scheme == SCHEME:
        return PrimaryPool(SentinelUrl.parse(url), timeouts, **options)
    return BlockingConnectionPool.from_url(url, **timeouts, **options)


def _source(name: str) -> bytes:
    return resources.files(__package__).joinpath(f"{name}.lua").read_bytes()


async def run(
    client: Redis,
    script: Script,
    keys: Sequence[str],
    args: Sequence[bytes | str | int] = (),
    *,
    replicas: int = 0,
) -> Any:
    """Run a script and return its reply, once so many replicas have what it wrote.

    Raises:
        StoreUnavailable: also if they do not have it in time; then it is done all the same.
        StoreFull: see `store_errors`.
    """
    with store_errors(client):
        try:
            return await _call(client, replicas, "EVALSHA", script.digest, len(keys), *keys, *args)
        except exceptions.NoScriptError:
            return await _call(client, replicas, "EVAL", script.source, len(keys), *keys, *args)
        except exceptions.ReadOnlyError:
            await _connect_anew(client)
            raise


async def _connect_anew(client: Redis) -> None:
    """Close all connections, those in use when their command has ended.

    After a fail-over the primary is another server, and the former one may not know it yet.
    """
    pool = client.connection_pool
    await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
    await pool.disconnect(inuse_connections=False)


async def _call(client: Redis, replicas: int, *command: bytes | str | int) -> Any:
    if not replicas:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]
    # WAIT tells of what its own connection wrote: both are sent, and if need be repeated, as one.
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command(*command)
        pipeline.execute_command("WAIT", replicas, _REPLICAS_MS)
        replies = await pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    reply, acknowledged = replies
    if acknowledged < replicas:
        await _connect_anew(client)
        raise StoreUnavailable(
            f"{acknowledged} of {replicas} replicas of the store at {address(client)} "
            f"acknowledged within {_REPLICAS_MS:,} ms: start them, or lower TIDEGATE_WAIT_REPLICAS",
            retry_after=_REFUSED_RETRY_SECONDS,
        )
    return reply


@contextmanager
def store_errors(client: Redis) -> Iterator[None]:
    """Turn what goes wrong in the store into this server's errors. Defects pass unchanged.

    Raises:
        StoreUnavailable: it can't be reached, does not answer in time, or refuses for now.
        StoreFull: its memory is used up.
    """
    try:
        yield
    except StoreUnavailable:  # too few replicas
        STORE_ERRORS.labels("refused").inc()
        raise
    except exceptions.OutOfMemoryError as error:
        STORE_ERRORS.labels("full").inc()
        raise StoreFull(
            f"the store at {address(client)} is out of memory: raise its `maxmemory`, or start "
            f"workers if they lag ({error})",
            retry_after=_OUT_OF_MEMORY_RETRY_SECONDS,
        ) from error
    except exceptions.RedisError as error:
        advice = _advice(error)
        if advice is None and not isinstance(error, _UNREACHABLE):
            raise
        STORE_ERRORS.labels("refused" if advice else "unreachable").inc()
        raise StoreUnavailable(
            f"the store at {address(client)} does not serve: {_reason(error)}; "
            + (advice or "check that it runs and what TIDEGATE_REDIS_URL says"),
            retry_after=_REFUSED_RETRY_SECONDS if advice else None,
        ) from error


def _advice(error: exceptions.RedisError) -> str | None:
    for kind, advice in _ADVICE:
        fits = str(error).startswith(kind) if isinstance(kind, str) else isinstance(error, kind)
        if fits:
            return advice
    return None


def address(client: Redis) -> str:
    """Return the URL a client connects to, without user and password."""
    pool = client.connection_pool
    if isinstance(pool, PrimaryPool):
        return str(pool.url)
    kwargs = pool.connection_kwargs
    database = kwargs.get("db", 0)
    if "path" in kwargs:
        return f"unix://{kwargs['path']}?db={database}"
    secure = "ssl" in pool.connection_class.__name__.lower()
    host, port = kwargs.get("host", "localhost"), kwargs.get("port", 6379)
    return f"{'rediss' if secure else 'redis'}://{host}:{port}/{database}"


def _reason(error: exceptions.RedisError) -> str:
    return str(error).rstrip(".") or type(error).__name__
