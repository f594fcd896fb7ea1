"""A store behind Redis Sentinel: its URL, and connections that follow the primary.

    redis+sentinel://[user:password@]host[:port][,host[:port] …]/service[/database]

The hosts are the Sentinels'; user and password are the store's. `?sentinel_password=` is for
Sentinels that want one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

SCHEME = "redis+sentinel"
_PORT = 26_379


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """What a URL names. sentinels: hosts and ports, at least one. database: >= 0."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "SentinelUrl":
        """Read a URL.

        Raises:
            ValueError: it says something else; the message names the part.
        """
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = map(unquote, credentials.partition(":"))
        service, _, database = parts.path.lstrip("/").partition("/")
        if not service:
            raise ValueError("name the service behind the hosts, as the Sentinels call it")
        if not (database or "0").isdecimal():
            raise ValueError(f"the database is {database!r}, not a number")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        sentinel_password = options.pop("sentinel_password", None)
        if options:
            raise ValueError(f"{next(iter(options))!r} is not known: only sentinel_password is")
        return cls(
            sentinels=tuple(map(_host_and_port, hosts.split(","))),
            service=unquote(service),
            database=int(database or 0),
            username=username or None,
            password=password or None,
            sentinel_password=sentinel_password,
        )

    def __str__(self) -> str:
        """Return the URL without user and passwords."""
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.sentinels)
        return f"{SCHEME}://{hosts}/{self.service}/{self.database}"


class PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to whichever server is the primary; who comes when all are in use waits."""

    def __init__(self, url: SentinelUrl, timeouts: Mapping[str, Any], **options: Any) -> None:
        """timeouts: of Sentinels and store alike. options: of the pool and its connections."""
        self.url = url
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            url.sentinels, sentinel_kwargs={**timeouts, "password": url.sentinel_password}
        )
        super().__init__(  # type: ignore[no-untyped-call]
            url.service,
            sentinel,
            db=url.database,
            username=url.username,
            password=url.password,
            **timeouts,
            **options,
        )

    async def get_master_address(self) -> tuple[str, int]:
        """Ask the Sentinels. With another primary, connections that are in use end, too."""
        former = self.master_address
        address: tuple[str, int] = await super().get_master_address()  # type: ignore[no-untyped-call]
        if former != address:
            await self.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
        return address

    async def aclose(self) -> None:
        """Close the connections to store and Sentinels."""
        await super().aclose()
        for each in self.sentinel_manager.sentinels:
            await each.aclose()


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{text!r} has no port from 1 to 65535") from None
    if not parts.hostname:
        raise ValueError(f"{text!r} is not the host and port of a Sentinel")
    return parts.hostname, port or _PORT
