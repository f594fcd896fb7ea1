"""What the supervisor runs, and what it tells about it."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tidegate_server.errors import TidegateServerError

_TAIL_LINES = 10
_TAIL_BYTES = 4096


async def at_once() -> None:
    """Be ready: for roles that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Role:
    """One process of the stack.

    command: argument vector; the first is a path.
    log: file its output is appended to.
    environment: its whole environment.
    ready: returns when the role answers; waits without end otherwise.
    metrics: URL of its metrics, if it serves any.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    ready: Callable[[], Awaitable[None]] = at_once
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A role's process runs. `restarts` counts its processes before this one."""

    role: str
    pid: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Died:
    """A role's process ended by itself; the next one starts in `delay` seconds.

    failures: how often that happened in a row, >= 1.
    """

    role: Role
    cause: str
    failures: int
    delay: float


@dataclass(frozen=True, slots=True)
class AllReady:
    """Every role answers."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A role was asked to stop and did, or was killed for not doing so in time."""

    role: str
    killed: bool


RoleEvent: TypeAlias = Started | Died | AllReady | Stopped


class RoleFailed(TidegateServerError):  # noqa: N818 - an outcome, as the other errors of the server
    """A role kept dying before it was ever ready; the message has the end of its log."""


def cause_of(exit_code: int) -> str:
    """Say how a process ended: its exit code, or the signal (negative codes) that killed it."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"


def log_tail(log: Path) -> str:
    """Return the last lines of a log; empty where there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-_TAIL_LINES:])
