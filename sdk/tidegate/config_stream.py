"""Keeps the snapshot current: one thread that watches the server's flags, and never gives up.

A stream begins with a snapshot; each change is applied only to the revision before it. Whatever
else happens (an error, an end, silence, a gap) the stream is opened anew after a jittered pause
that doubles, and until then the last snapshot stays in use.

Callbacks are called by the stream's thread: the one of `states` with each new state, the one of
`changes` after each change.
"""

import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import grpc

from tidegate.backoff import Backoff
from tidegate.changes import FlagsChanged, changed_flags
from tidegate.errors import WireError
from tidegate.evaluation import CompiledSnapshot
from tidegate.following import Call, Following, OutOfStep
from tidegate.listeners import Listeners
from tidegate.model import Snapshot
from tidegate.v1 import assignment_service_pb2, assignment_service_pb2_grpc
from tidegate.wire import change_from_message, snapshot_from_message

log = logging.getLogger("tidegate")


class State(StrEnum):
    """How fresh the snapshot is."""

    CONNECTING = "CONNECTING"  # there is none yet
    READY = "READY"  # current
    STALE = "STALE"  # the last one, while the server is away
    CLOSED = "CLOSED"  # the last one, for good


class ConfigStream(Following[assignment_service_pb2.WatchFlagsResponse]):
    """Watches the flags of the server, once `start` was called.

    `compiled` is always the best snapshot known; it is replaced, never changed.
    """

    def __init__(
        self,
        channel: Callable[[], grpc.Channel],
        address: str,
        *,
        client_name: str = "",
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the arguments of `Following`; `client_name` names this program to the server."""
        self.compiled = CompiledSnapshot.not_ready()
        self.states: Listeners[State] = Listeners()
        self.changes: Listeners[FlagsChanged] = Listeners()
        self._request = assignment_service_pb2.WatchFlagsRequest(client_name=client_name)
        self._state = State.CONNECTING
        super().__init__(
            channel,
            address,
            thread_name="tidegate-config",
            what="flags",
            backoff=backoff,
            clock=clock,
        )

    def _reset(self) -> None:
        super()._reset()
        self._has_snapshot = threading.Event()

    @property
    def state(self) -> State:
        """How fresh the snapshot is."""
        return self._state

    def begin_with(self, snapshot: Snapshot, age: float | None) -> None:
        """Assign from a snapshot of `age` seconds (None: unknown) until the server answers."""
        self.compiled = CompiledSnapshot(snapshot)
        self.heard_at = None if age is None else self._clock() - age
        self._state = State.STALE
        self._has_snapshot.set()

    def expect_nothing(self) -> None:
        """Let nobody wait: there is no server, and this is never started."""
        self._has_snapshot.set()

    @property
    def is_settled(self) -> bool:
        """Whether there is a snapshot, or will never be one."""
        return self._has_snapshot.is_set()

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until there is a snapshot; False if `timeout` (seconds) or `close` came first."""
        self._has_snapshot.wait(timeout)
        return self._state in (State.READY, State.STALE)

    def close(self, timeout: float) -> None:
        """Stop watching; wait at most `timeout` seconds for the thread."""
        started = self._thread.is_alive()
        super().close(timeout)
        if not started:
            self._become(State.CLOSED)
        self._state = State.CLOSED
        self._has_snapshot.set()

    def after_fork(self) -> None:
        """Become a stream of the child process that has yet to be started."""
        settled = self.is_settled
        super().after_fork()
        self.states.after_fork()
        self.changes.after_fork()
        if settled:
            self._has_snapshot.set()
        if self._state is State.READY:
            self._state = State.STALE

    def _become(self, state: State) -> None:
        if self._state is not state:
            self._state = state
            self.states.tell(state)

    def _lost(self) -> None:
        if self._state is State.READY:
            self._become(State.STALE)

    def _stopped(self) -> None:
        self._state = State.CLOSED
        self._has_snapshot.set()
        self.states.tell(State.CLOSED)

    def _open(
        self, channel: grpc.Channel, **how: Any
    ) -> Call[assignment_service_pb2.WatchFlagsResponse]:
        stub = assignment_service_pb2_grpc.AssignmentServiceStub(channel)
        return stub.WatchFlags(self._request, **how)

    def _take(self, response: assignment_service_pb2.WatchFlagsResponse) -> None:
        match response.WhichOneof("update"):
            case "snapshot":
                snapshot = snapshot_from_message(response.snapshot, self._log_unreadable)
                self._publish(CompiledSnapshot(snapshot))
            case "change":
                self._expect(response.change.revision - 1)
                change = change_from_message(response.change, self._log_unreadable)
                self._publish(self.compiled.apply(change))
            case "heartbeat":
                self._heartbeat_seconds = max(0.1, response.heartbeat.interval_ms / 1_000)
                self._expect(response.heartbeat.revision)

    def _expect(self, revision: int) -> None:
        if self._state is not State.READY:
            raise OutOfStep("the stream does not begin with a snapshot")
        if revision != self.compiled.revision:
            raise OutOfStep(
                f"a message follows revision {revision}, but {self.compiled.revision} was reached"
            )

    def _publish(self, compiled: CompiledSnapshot) -> None:
        before = self.compiled.snapshot
        self.compiled = compiled
        if self._stopping.is_set():
            return
        if self._outage_logged:
            log.info("%s answers again, at revision %d", self._address, compiled.revision)
            self._outage_logged = False
        came_first = not self._has_snapshot.is_set()
        changed = self._state is not State.READY
        self._state = State.READY
        self._has_snapshot.set()
        if changed:
            self.states.tell(State.READY)
        if self.changes and (came_first or compiled.revision != before.revision):
            flags = changed_flags(before, compiled.snapshot)
            self.changes.tell(FlagsChanged(flags, compiled.revision))

    def _log_outage(self, code: grpc.StatusCode, details: str) -> None:
        if code is grpc.StatusCode.UNIMPLEMENTED:
            log.error(
                "%s answers, but is no Tidegate server, or an older one: check the address "
                "(Client's first argument, or TIDEGATE_SERVER) and the server's version",
                self._address,
            )
        elif self._state is State.CONNECTING:
            log.error(
                "cannot reach the Tidegate server at %s (%s: %s): check that it runs "
                "(`tidegate up`) and that the address (Client's first argument, or "
                "TIDEGATE_SERVER) is right; until then every assignment gives the default",
                self._address,
                code.name,
                details,
            )
        else:
            log.warning(
                "lost the Tidegate server at %s (%s: %s): assignments go on from revision %d",
                self._address,
                code.name,
                details,
                self.compiled.revision,
            )

    def _log_unreadable(self, error: WireError) -> None:
        self._limited_log.warning(
            str(error), "a flag cannot be read and is left out, update the SDK: %s", error
        )
