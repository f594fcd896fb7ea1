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

TIMEOUT_SECONDS = 5.0
"""How long to wait for a connection, and for a reply: well above the second that reads block."""

CONNECTIONS = 64
"""Most connections of a process; whoever comes when all are in use waits."""

_RETRIES = 2
"""How often a lost command is sent again. Scripts recognise their own repetition."""

_UNAVAILABLE = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.TryAgainError,
    exceptions.NoPermissionError,
)
_UNAVAILABLE_CODES = ("MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED")
"""First words of replies for which redis-py has no class of its own."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: it runs as one atomic step."""

    source: bytes
    digest: str

    @classmethod
    def named(cls, name: str) -> "Script":
        """Read `<name>.lua` from beside this module."""
        source = resources.files(__package__).joinpath(f"{name}.lua").read_bytes()
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
        keep_alive = {} if urlsplit(url).scheme == "unix" else {"socket_keepalive": True}
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            health_check_interval=30,
            retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), _RETRIES),
            protocol=2,  # replies then have one shape in every redis-py that we support
            **keep_alive,
        )
    except ValueError as error:
        raise ConfigurationError(
            "TIDEGATE_REDIS_URL: it must look like redis://host:6379/0, rediss://host:6379/0 "
            f"or unix:///path/to/socket ({error})"
        ) from None
    return Redis.from_pool(pool)


async def run(
    client: Redis, script: Script, keys: Sequence[str], args: Sequence[bytes | str | int] = ()
) -> Any:
    """Run a script and return its reply.

    Raises:
        StoreUnavailable, StoreFull: see `store_errors`.
    """
    with store_errors(client):
        try:
            return await client.evalsha(script.digest, len(keys), *keys, *args)
        except exceptions.NoScriptError:
            source = script.source.decode()
            return await client.eval(source, len(keys), *keys, *args)


@contextmanager
def store_errors(client: Redis) -> Iterator[None]:
    """Turn what goes wrong in the store into this server's errors. Defects pass unchanged.

    Raises:
        StoreUnavailable: it can't be reached, does not answer in time, or refuses for now.
        StoreFull: its memory is used up.
    """
    try:
        yield
    except exceptions.OutOfMemoryError as error:
        raise StoreFull(
            f"the store at {address(client)} is out of memory: raise its `maxmemory`, or start "
            f"workers if they lag ({error})"
        ) from error
    except exceptions.RedisError as error:
        if isinstance(error, _UNAVAILABLE) or str(error).startswith(_UNAVAILABLE_CODES):
            raise StoreUnavailable(
                f"the store at {address(client)} does not serve: {_reason(error)}; "
                "check that it runs and what TIDEGATE_REDIS_URL says"
            ) from error
        raise


def address(client: Redis) -> str:
    """Return the URL a client connects to, without user and password."""
    kwargs = client.connection_pool.connection_kwargs
    database = kwargs.get("db", 0)
    if "path" in kwargs:
        return f"unix://{kwargs['path']}?db={database}"
    secure = "ssl" in client.connection_pool.connection_class.__name__.lower()
    host, port = kwargs.get("host", "localhost"), kwargs.get("port", 6379)
    return f"{'rediss' if secure else 'redis'}://{host}:{port}/{database}"


def _reason(error: exceptions.RedisError) -> str:
    return str(error).rstrip(".") or type(error).__name__
