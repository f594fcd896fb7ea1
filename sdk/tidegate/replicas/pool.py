"""The replicas of a flag, for applications that ask one of the assigned version."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Protocol

from tidegate.assignment import Assignment
from tidegate.log_limit import LogLimit
from tidegate.replicas.balance import KnownReplicas, Member, Replica, less_busy

log = logging.getLogger("tidegate")


class PickReason(StrEnum):
    """Why a pick has the replica it has, or none."""

    ASSIGNED = "ASSIGNED"  # a replica of the assigned version
    FALLBACK = "FALLBACK"  # of the fallback: the assigned version has none that takes traffic
    NO_REPLICA = "NO_REPLICA"  # neither has one
    NOT_READY = "NOT_READY"  # the server has not been heard yet
    STALE = "STALE"  # the server has been away for too long
    ERROR = "ERROR"  # a fault; the log has it


class Source(Protocol):
    """Where the replicas of a flag come from."""

    known: KnownReplicas

    @property
    def asleep(self) -> bool:
        """Whether it has to be woken, in a process that was forked."""
        ...

    def wake(self) -> None:
        """Begin to follow in this process."""
        ...

    @property
    def age(self) -> float | None:
        """Seconds since what is known was confirmed; None: never."""
        ...

    def wait_heard(self, timeout: float | None) -> bool:
        """Wait until something is known; False if `timeout` (seconds) or the end came first."""
        ...


class Replicas:
    """The replicas of one flag; `Client.replicas` makes it. Share it between threads.

    It follows the replicas in the background. `pick` never raises, waits or does I/O.
    """

    def __init__(self, source: Source, *, fallback: str, longest_stale: float) -> None:
        """See `Client.replicas`."""
        self._source = source
        self._fallback = fallback
        self._longest_stale = longest_stale
        self._limited_log = LogLimit(log)

    def pick(self, choice: Assignment) -> "Pick":
        """Return a context manager that chooses a replica of the assigned version.

        It is chosen when the block begins, and the request counts as under way until it ends: put
        the block round the whole request. It gives the `Replica`, or None where there is none;
        `reason` then says why. Where the assigned version has no replica that takes traffic, it is
        one of the fallback, and `choice.served` is reported.
        """
        return Pick(self, choice)

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until the replicas are known; False if `timeout` (seconds) or a close came first."""
        self._awake()
        return self._source.wait_heard(timeout)

    @property
    def by_version(self) -> Mapping[str, list[Replica]]:
        """The replicas that take traffic, as last heard of, by the key of their variant."""
        self._awake()
        groups = self._source.known.groups
        return {variant: [each.replica for each in group] for variant, group in groups.items()}

    def _awake(self) -> None:
        if self._source.asleep:
            self._source.wake()

    def _choose(self, choice: Assignment) -> tuple[Member | None, PickReason]:
        try:
            return self._chosen(choice)
        except Exception as error:  # noqa: BLE001 - must not reach the application
            self._limited_log.warning("pick", "no replica can be chosen", error=error)
            return None, PickReason.ERROR

    def _chosen(self, choice: Assignment) -> tuple[Member | None, PickReason]:
        self._awake()
        groups, variant = self._source.known.groups, choice.variant
        age = self._source.age
        if age is None:
            return None, PickReason.NOT_READY
        if age > self._longest_stale:
            return None, PickReason.STALE
        members = groups.get(variant)
        if members:
            return less_busy(members), PickReason.ASSIGNED
        members = groups.get(self._fallback)
        if not members:
            return None, PickReason.NO_REPLICA
        if variant:
            choice.served(self._fallback)
        return less_busy(members), PickReason.FALLBACK


class Pick:
    """A replica for one request at a time; see `Replicas.pick`.

    `replica` and `reason` are those of the block that was begun last.
    """

    __slots__ = ("_choice", "_member", "_pool", "reason")

    def __init__(self, pool: Replicas, choice: Assignment) -> None:
        self.reason = PickReason.NOT_READY
        self._pool = pool
        self._choice = choice
        self._member: Member | None = None

    @property
    def replica(self) -> Replica | None:
        """The replica that was chosen; None: there is none."""
        return None if self._member is None else self._member.replica

    def __enter__(self) -> Replica | None:
        member, self.reason = self._pool._choose(self._choice)  # noqa: SLF001 - a part of it
        self._member = member
        if member is None:
            return None
        member.under_way.begin()
        return member.replica

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        member = self._member
        if member is None:
            return
        member.under_way.end()
        if isinstance(error, Exception):
            member.note_failure()
