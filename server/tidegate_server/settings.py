"""Settings: environment variables TIDEGATE_*, checked once at start-up.

A wrong value ends the program with a message that names the variable, the value and the fix.
"""

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidegate_server.errors import ConfigurationError

PREFIX = "TIDEGATE_"
OFF = "off"
METRICS_PATH = "/metrics"
_SECRET = frozenset({"redis_url", "webhook_secret", "dashboard_token", "dashboard_operator_token"})
_URL_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel")


class LogFormat(StrEnum):
    """How log lines are written: for people, or one JSON object a line."""

    CONSOLE = "console"
    JSON = "json"


class Fsync(StrEnum):
    """When the embedded store syncs what it wrote to disk."""

    ALWAYS = "always"
    EVERYSEC = "everysec"


class LogLevel(StrEnum):
    """The least important lines that are still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def parse_address(address: str) -> tuple[str, int]:
    """Split `host:port` (IPv6 hosts in brackets) into host, without brackets, and port, 0 to 65535.

    Raises:
        ValueError: it is not such an address; the message says what is missing.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not host:
        raise ValueError("is not host:port")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError(f"has the port {port!r}, which is not a number from 0 to 65535")
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        raise ValueError("has an IPv6 host without brackets")
    return host.strip("[]"), int(port)


def without_password(url: str) -> str:
    """Return a store's URL with its user and passwords replaced by ***: what may be shown."""
    url = re.sub(r"(password=)[^&]*", r"\1***", url)
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]).geturl()


def _check_address(address: str) -> str:
    parse_address(address)
    return address


def _check_address_or_off(address: str) -> str:
    return address if address == OFF else _check_address(address)


def _check_environment(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9._-]{1,100}", name):
        raise ValueError("has characters other than a-z, 0-9, '-', '_' and '.', or is too long")
    return name


LEAST_TOKEN = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")


def _check_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if len(text) < LEAST_TOKEN or not _TOKEN.fullmatch(text):
        raise ValueError("is too short, or has other characters")
    return token


def _check_hosts(hosts: str) -> str:
    for host in hosts.split(","):
        if not re.fullmatch(r"[a-z0-9.-]{1,253}", host.strip().lower()):
            raise ValueError(f"has {host.strip()!r}, which is no host name")
    return hosts


def parse_servers(text: str) -> dict[str, str]:
    """Read `name=host:port,name=host:port …` as addresses by environment.

    Raises:
        ValueError: the text says something else; the message says where.
    """
    servers: dict[str, str] = {}
    for part in text.split(","):
        name, _, address = part.strip().partition("=")
        _check_environment(name)
        parse_address(address)
        if name in servers:
            raise ValueError(f"names {name!r} twice")
        servers[name] = address
    return servers


def _check_servers(text: str) -> str:
    parse_servers(text)
    return text


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _URL_SCHEMES or not (parts.netloc or parts.path):
        raise ValueError("is not the URL of a Redis or Valkey server")
    return url


def _check_programs(programs: str) -> str:
    if programs and not all(each.strip() for each in programs.split(",")):
        raise ValueError("names an empty program")
    return programs


class Settings(BaseSettings):
    """Everything that can be set; each field is the variable TIDEGATE_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    redis_url: Annotated[str, AfterValidator(_check_url)] | None = Field(
        None,
        repr=False,
        description="URL of the store, such as redis://host:6379/0, rediss://… with TLS, "
        "unix:///path, or redis+sentinel://host:26379,host:26379/service; leave it out for the "
        "embedded Valkey of `tidegate up`",
    )
    listen: Annotated[str, AfterValidator(_check_address)] = Field(
        "127.0.0.1:7070",
        description="host:port of the gRPC server, such as 127.0.0.1:7070; "
        "port 0 takes any free one",
    )
    environment: Annotated[str, AfterValidator(_check_environment)] = Field(
        "prod",
        description="name of the isolated set of flags: 1 to 100 characters of a-z, 0-9, "
        "'-', '_' and '.'",
    )
    data_dir: Path = Field(
        Path(".tidegate"), description="directory of the embedded store, of logs and of locks"
    )
    shards: int = Field(
        2, ge=1, le=1024, description="number of event shards, the same for all roles: 1 to 1,024"
    )
    heartbeat_seconds: float = Field(
        5.0,
        ge=0.1,
        le=600,
        allow_inf_nan=False,
        description="pause after which watchers of flags are sent a heartbeat: 0.1 to 600 seconds",
    )
    batch_memory_hours: float = Field(
        24,
        ge=0.1,
        le=720,
        allow_inf_nan=False,
        description="time for which a batch that comes again is recognised: 0.1 to 720 hours",
    )
    max_stream_mb: int = Field(
        256,
        ge=1,
        le=1_000_000,
        description="megabytes of batches that a shard may hold before new ones are refused: 1 to "
        "1,000,000",
    )
    wait_replicas: int = Field(
        0,
        ge=0,
        le=100,
        description="number of replicas of the store that must have a batch before it is "
        "acknowledged: 0 to 100",
    )
    fsync: Fsync = Field(
        Fsync.ALWAYS,
        description="moment at which the embedded store syncs writes to disk: always (before it "
        "answers) or everysec",
    )
    retention_days: float = Field(
        400,
        ge=1,
        le=10_000,
        allow_inf_nan=False,
        description="time for which the aggregates of a phase are kept after its last event, and "
        "windows of an hour: 1 to 10,000 days",
    )
    grace_seconds: float = Field(
        10.0,
        ge=0.1,
        le=600,
        allow_inf_nan=False,
        description="time a role has to finish its work when it is stopped: 0.1 to 600 seconds",
    )
    lease_seconds: float = Field(
        10.0,
        ge=1,
        le=600,
        allow_inf_nan=False,
        description="time after which another controller takes over from one that is silent: 1 to "
        "600 seconds",
    )
    dashboard_listen: Annotated[str, AfterValidator(_check_address_or_off)] = Field(
        "127.0.0.1:7071",
        description="host:port of the dashboard, such as 127.0.0.1:7071; port 0 takes any free "
        "one; off: `tidegate up` runs none",
    )
    dashboard_token: Annotated[SecretStr, AfterValidator(_check_token)] | None = Field(
        None,
        description="token that opens the dashboard for looking: at least 16 of a-z, A-Z, 0-9, "
        "'.', '_', '~' and '-'",
    )
    dashboard_operator_token: Annotated[SecretStr, AfterValidator(_check_token)] | None = Field(
        None,
        description="token that opens the dashboard for changes too: at least 16 of a-z, A-Z, "
        "0-9, '.', '_', '~' and '-'",
    )
    dashboard_hosts: Annotated[str, AfterValidator(_check_hosts)] | None = Field(
        None,
        description="names under which browsers may reach the dashboard, besides addresses and "
        "localhost, without ports: tidegate.example.com,dash",
    )
    dashboard_servers: Annotated[str, AfterValidator(_check_servers)] | None = Field(
        None,
        description="environments that the dashboard shows, and their servers: "
        "prod=tidegate:7070,staging=tidegate-staging:7070",
    )
    metrics_listen: Annotated[str, AfterValidator(_check_address_or_off)] | None = Field(
        None,
        description="host:port of the role's /metrics, or off; of `tidegate up` the first role's, "
        "and the others take the ports that follow",
    )
    metrics_flags: int = Field(
        50,
        ge=0,
        le=1_000,
        description="number of flags whose figures are among a server's metrics: 0 to 1,000",
    )
    replica_heartbeat_seconds: float = Field(
        5.0,
        ge=0.1,
        le=600,
        allow_inf_nan=False,
        description="pause between two heartbeats of a replica (model server), three of which it "
        "may miss: 0.1 to 600 seconds",
    )
    replica_drain_seconds: float = Field(
        60.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="time that a replica is given to finish its requests before its variant "
        "changes: 0 to 86,400 seconds",
    )
    replica_load_seconds: float = Field(
        600.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="time within which a replica must serve the variant that it was told to load: "
        "1 to 86,400 seconds",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="secret by which the controller signs what it posts to hooks and "
        "notifications: at least 16 characters",
    )
    evaluation_commands: Annotated[str, AfterValidator(_check_programs)] = Field(
        "",
        description="list of programs that the controller may run as evaluations, as plans name "
        "them, separated by commas",
    )
    log_format: LogFormat = Field(
        LogFormat.CONSOLE, description="format of log lines: console or json"
    )
    log_level: LogLevel = Field(
        LogLevel.INFO,
        description="least level of the log lines written: debug, info, warning or error",
    )

    @classmethod
    def load(cls, **options: Any) -> Self:
        """Read the environment; `options` that are not None come from the command line and win.

        Raises:
            ConfigurationError: names each wrong variable or option, its value and the fix.
        """
        given = {name: value for name, value in options.items() if value is not None}
        try:
            settings = cls(**given)
        except ValidationError as error:
            details = error.errors(include_url=False)
            raise ConfigurationError(
                "\n".join(_explain(detail, given) for detail in details)
            ) from None
        if settings.wait_replicas and settings.redis_url is None:
            raise ConfigurationError(
                f"TIDEGATE_WAIT_REPLICAS: {settings.wait_replicas} can't be had, for the embedded "
                "store has no replicas; set TIDEGATE_REDIS_URL to a store that has some"
            )
        return settings

    @property
    def metrics_address(self) -> str | None:
        """The address of this role's metrics; None where they are off."""
        return None if self.metrics_listen == OFF else self.metrics_listen

    @property
    def evaluation_programs(self) -> frozenset[str]:
        """The programs that evaluations may run."""
        return frozenset(each.strip() for each in self.evaluation_commands.split(",")) - {""}

    def to_environment(self) -> dict[str, str]:
        """Return the variables that give another process the same settings."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            PREFIX + name.upper(): _plain(value)
            for name, value in values.items()
            if value is not None
        }


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def child_environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment, changed so that a child has the same settings."""
    return {**os.environ, **settings.to_environment()}


def _explain(detail: ErrorDetails, options: Mapping[str, Any]) -> str:
    name = str(detail["loc"][0])
    field = Settings.model_fields[name]
    variable = PREFIX + name.upper()
    source = f"--{name.replace('_', '-')} ({variable})" if name in options else variable
    value = "(not shown)" if name in _SECRET else repr(str(detail["input"]))
    cause = detail.get("ctx", {}).get("error")
    problem = str(cause) if cause else "is not valid"
    default = "" if field.default is None else f" (default {field.default})"
    return f"{source}: {value} {problem}; expected is the {field.description}{default}"
