"""The client: local assignment, and events in the background."""

import asyncio
import atexit
import logging
import os
import weakref
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tidegate.assigning import Assigner
from tidegate.assignment import Assignment
from tidegate.changes import FlagsChanged
from tidegate.config_stream import State
from tidegate.delivery import Around, nothing_around
from tidegate.errors import ConfigurationError
from tidegate.evaluation import CompiledSnapshot
from tidegate.event_queue import QueueOptions
from tidegate.explanation import Explanation, explain
from tidegate.link import Link
from tidegate.log_limit import LogLimit
from tidegate.model import FlagKey
from tidegate.options import (
    checked_address,
    checked_int,
    checked_name,
    checked_path,
    checked_seconds,
)
from tidegate.recorder import Recorder, shown
from tidegate.replicas.pool import Replicas, Source
from tidegate.sessions import Sessions
from tidegate.snapshot_file import bootstrap_snapshot
from tidegate.spool import SUPPORTED, Spool

log = logging.getLogger("tidegate")


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers of events, exposures and outcomes together, since the client was made.

    `queued`: waiting or under way now. `spooled`: waiting on disk. `acknowledged`: stored by the
    server. `dropped`: lost, to a full queue, a final refusal of their batch, or an end without a
    server. `refused`: outcomes that could not be recorded, because of their name, their value, or
    an assignment without a variant, and single events that the server refused.
    """

    queued: int
    acknowledged: int
    dropped: int
    refused: int
    spooled: int = 0


class Client(Assigner):
    """Assigns units to variants in process, and reports what became of it.

    Make one for a process and share it between threads. The constructor returns at once, and does
    no I/O but to read the files it is given; two daemon threads do the rest. `assign` and `track`
    never raise, wait or do I/O.

    In a process that was forked, the client goes on from the parent's last snapshot and connects by
    itself with its first assignment or event. Events that the parent had queued are sent by the
    parent; pins of sessions and known exposures are kept; the counts of `stats` begin at 0.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        client_name: str = "",
        record_exposures: bool = True,
        send_unit_ids: bool = True,
        queue_size: int = 100_000,
        batch_size: int = 5_000,
        flush_interval: float = 1.0,
        session_ttl: float = 3_600.0,
        snapshot_file: str | os.PathLike[str] | None = None,
        bootstrap: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        offline: bool = False,
        spool_dir: str | os.PathLike[str] | None = None,
        spool_size: int = 100_000_000,
    ) -> None:
        """Begin to connect.

        Args:
            address: the server's "host:port"; without it, the environment's TIDEGATE_SERVER.
            client_name: names this program in the server's log; at most 100 characters.
            record_exposures: whether `assign` records that a unit was given a variant.
            send_unit_ids: whether ids of units are sent; without, only their hashes are.
            queue_size: most events that wait for the server; further ones are dropped and counted.
                1 to 10,000,000.
            batch_size: most events sent at once, 1 to 10,000: so many only after a burst, or when
                the server was away.
            flush_interval: longest time an event waits for others, in seconds: 0.01 to 60.
            session_ttl: how long a pinned session is remembered after its last use, in seconds:
                1 to 86,400. See `assign`.
            snapshot_file: where the last good snapshot is kept for the next start: assignments are
                made from it, in State.STALE, until the server answers. One file for an environment;
                processes may share it.
            bootstrap: what to assign from, in State.STALE, until the server answers, where there is
                no snapshot file: a FlagSnapshot in protobuf's JSON form, or the path of one.
            offline: do without a server: assign from the files, count all events as dropped.
            spool_dir: directory for events while the server is away; without, they wait in memory,
                and are lost with the process. Processes may share it: what one leaves behind the
                next one sends. Not on Windows.
            spool_size: most bytes of this process in spool_dir: 1 to 1,000,000,000,000.

        Raises:
            ConfigurationError: an argument is wrong; an unreachable server is no error here.
        """
        self.address = "" if offline and address is None else checked_address(address)
        options = QueueOptions(
            size=checked_int("queue_size", queue_size, 10_000_000),
            batch_size=checked_int("batch_size", batch_size, 10_000),
            flush_interval=checked_seconds("flush_interval", flush_interval, 0.01, 60),
            send_unit_ids=send_unit_ids,
        )
        self._link = Link(
            self.address,
            options,
            client_name=checked_name(client_name),
            snapshot_file=checked_path("snapshot_file", snapshot_file),
            spool=_spool(spool_dir, checked_int("spool_size", spool_size, 10**12)),
            offline=offline,
        )
        self._current = self._link.stream
        self._recorder = Recorder(self._link.queue.add, self._variants_of, self._forget_plans)
        self._sessions = Sessions(checked_seconds("session_ttl", session_ttl, 1, 86_400))
        self._exposing = record_exposures
        self._limited_log = LogLimit(log)
        self._link.begin_with(None if bootstrap is None else bootstrap_snapshot(bootstrap))
        self._link.start()
        _clients.add(self)
        atexit.register(self.close)

    def track(self, name: str, value: float, assignment: Assignment | str) -> None:
        """Report an outcome of an assignment; the same as its own `track`, for any valid name.

        Args:
            name: the outcome: 1 to 100 characters of a-z, 0-9, ".", "_" and "-".
            value: a boolean, or a number within ±1e100.
            assignment: what `assign` returned, or its `token`, also in another process and later.
        """
        if isinstance(assignment, Assignment):
            self._recorder.track(assignment.grant.given, assignment.unit_id, name, value)
        elif isinstance(assignment, str):
            self._recorder.track_token(assignment, name, value)
        else:
            self._recorder.refuse(shown(name), "it needs what Client.assign returned, or its token")

    def explain(
        self, flag: str, unit_id: str, attributes: Mapping[str, Any] | None = None
    ) -> Explanation:
        """Return every step of the evaluation that `assign` does, for people to read.

        Sessions are left aside, and nothing is recorded. Takes the arguments of `assign`.

        Raises:
            AttributeError: `attributes` is no mapping.
        """
        return explain(self._current.compiled, flag, unit_id, attributes)

    def replicas(self, flag: str, *, fallback: str = "", longest_stale: float = 600.0) -> Replicas:
        """Return the replicas of a flag: running model servers; see `Replicas.pick`.

        The first call for a flag starts a thread that follows them; keep what it returns.

        Args:
            flag: key of the flag.
            fallback: key of the variant whose replicas are asked where the assigned one has none
                that takes traffic; "": none is.
            longest_stale: how long the last known replicas are used while the server is away, in
                seconds: 1 to 86,400.

        Raises:
            ConfigurationError: an argument is wrong.
        """
        for name, value in (("flag", flag), ("fallback", fallback)):
            if not isinstance(value, str):
                raise ConfigurationError(f"{name}: {value!r} is no key: give a string")
        checked_seconds("longest_stale", longest_stale, 1, 86_400)
        source = self._replica_source(flag)
        return Replicas(source, fallback=fallback, longest_stale=longest_stale)

    @property
    def state(self) -> State:
        """How fresh the snapshot is."""
        return self._link.stream.state

    @property
    def snapshot_age(self) -> float | None:
        """Seconds since the server was last heard; with a snapshot file, since before the start.

        While the state is READY this is below the server's heartbeat interval. None: never heard.
        """
        return self._link.stream.age

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until there is a snapshot, be it from a file.

        Returns False if `timeout` (seconds) or `close` came first. To wait for the server itself,
        see `on_state_change`.
        """
        self._wake()
        return self._link.stream.wait_ready(timeout)

    async def ready(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as wait_ready
        """Wait until there is a snapshot, as `wait_ready`, without blocking a thread."""
        self._wake()
        stream, loop, told = self._link.stream, asyncio.get_running_loop(), asyncio.Event()
        unsubscribe = stream.states.add(lambda _: loop.call_soon_threadsafe(told.set))
        try:
            if not stream.is_settled:
                await asyncio.wait_for(told.wait(), timeout)
        except TimeoutError:
            pass
        finally:
            unsubscribe()
        return stream.wait_ready(0)

    def on_state_change(self, callback: Callable[[State], object]) -> Callable[[], None]:
        """Call `callback` with each new state; return what ends that.

        It is called by a background thread (for CLOSED perhaps by the one that calls `close`), and
        flags are not updated until it returns. What it raises is logged.
        """
        return self._link.stream.states.add(callback)

    def on_change(self, callback: Callable[[FlagsChanged], object]) -> Callable[[], None]:
        """Call `callback` after each change of flags; return what ends that. As on_state_change."""
        return self._link.stream.changes.add(callback)

    def flush(self, timeout: float | None = None) -> bool:
        """Send all events recorded so far; wait at most `timeout` seconds for the server's answer.

        Returns False if the time ran out or events were lost.
        """
        return self._link.queue.flush(timeout)

    def stats(self) -> Stats:
        """Return what became of the events."""
        counts = self._link.queue.counts()
        return Stats(
            queued=counts.queued,
            acknowledged=counts.acknowledged,
            dropped=counts.dropped,
            refused=self._recorder.refused + counts.refused,
            spooled=counts.spooled,
        )

    def close(self, timeout: float = 5.0) -> None:
        """Deliver what is queued, for at most `timeout` seconds, and stop; once is enough.

        Called by itself when the interpreter ends. Assignments go on from the last snapshot; events
        are dropped and counted from now on.
        """
        atexit.unregister(self.close)
        self._link.close(timeout)

    def _replica_source(self, flag: str) -> Source:
        return self._link.follow(flag)

    def _around_sending(self, around: Around | None) -> None:
        """Make each attempt to send events inside of `around`; None: inside of nothing."""
        self._link.delivery.around = around or nothing_around

    def _wake(self) -> None:
        """Connect, where a fork put the client to sleep."""
        self._link.start()
        self._current = self._link.stream

    def _after_fork(self) -> None:
        """Fall asleep in a child process, until the first assignment or event."""
        self._link.after_fork()
        self._recorder.after_fork()
        self._sessions.after_fork()
        self._current = _Asleep(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _variants_of(self, flag_key: str) -> Collection[str] | None:
        flag = self._current.compiled.snapshot.flags.get(FlagKey(flag_key))
        return None if flag is None else {variant.key for variant in flag.variants}


class _Asleep:
    """Stands in for the stream in a child process; the first look at it wakes the client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def compiled(self) -> CompiledSnapshot:
        """The best snapshot known."""
        self._client._wake()  # noqa: SLF001 - a part of it
        return self._client._link.stream.compiled  # noqa: SLF001


def _spool(directory: object, size: int) -> Spool | None:
    path = checked_path("spool_dir", directory)
    if path is not None and not SUPPORTED:
        raise ConfigurationError("spool_dir: this system lacks the file locks it needs; leave out")
    return None if path is None else Spool(path, size)


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for client in list(_clients):
        try:
            client._after_fork()  # noqa: SLF001 - a part of it
        except Exception:
            log.exception("a client does not work in the child process")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
