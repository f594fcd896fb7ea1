"""Keeps the snapshot current: one thread that watches the server's flags, and never gives up.

A stream begins with a snapshot; each change is applied only to the revision before it. Whatever
else happens (an error, an end, silence, a gap) the stream is opened anew after a jittered pause
that doubles, and until then the last snapshot stays in use.

Callbacks are called by the stream's thread: the one of `states` with each new state, the one of
`changes` after each change.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from enum import StrEnum

import grpc

from tidegate.backoff import Backoff
from tidegate.changes import FlagsChanged, changed_flags
from tidegate.channel import REQUEST_ID, NoChannel, leave_to_parent
from tidegate.errors import WireError
from tidegate.evaluation import CompiledSnapshot
from tidegate.listeners import Listeners
from tidegate.log_limit import LogLimit
from tidegate.model import Snapshot
from tidegate.v1 import assignment_service_pb2, assignment_service_pb2_grpc
from tidegate.wire import change_from_message, snapshot_from_message

log = logging.getLogger("tidegate")

FIRST_HEARTBEAT_SECONDS = 10.0
"""Interval of heartbeats that is assumed until the server tells its own."""

MISSED_HEARTBEATS = 3
"""After so many intervals of silence a stream counts as dead."""

STEADY_SECONDS = 5.0
"""A stream that lived as long as this sets the pauses back to their beginning."""


class State(StrEnum):
    """How fresh the snapshot is."""

    CONNECTING = "CONNECTING"  # there is none yet
    READY = "READY"  # current
    STALE = "STALE"  # the last one, while the server is away
    CLOSED = "CLOSED"  # the last one, for good


class OutOfStep(Exception):  # noqa: N818 - a reason to begin again, not a fault
    """A message does not follow the revision that was reached."""


class ConfigStream:
    """Watches the flags of the server, once `start` was called.

    `compiled` is always the best snapshot known; it is replaced, never changed. `heard_at` is when
    the server was last heard, by the stream's clock; None: never. `check` must be called about
    once a second, from any other thread: it is what notices silence.
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
        """`channel` gives the channel, with `channel.OPTIONS`, when it is needed.

        `address` is for messages; `clock` tells seconds.
        """
        self.compiled = CompiledSnapshot.not_ready()
        self.heard_at: float | None = None
        self.states: Listeners[State] = Listeners()
        self.changes: Listeners[FlagsChanged] = Listeners()
        self._channel = channel
        self._request = assignment_service_pb2.WatchFlagsRequest(client_name=client_name)
        self._address = address
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._state = State.CONNECTING
        self._call: grpc.Call | None = None
        self._reset()

    def _reset(self) -> None:
        """Set what belongs to one process: locks, the thread, and what is known of its stream."""
        self._limited_log = LogLimit(log)
        self._has_snapshot = threading.Event()
        self._stopping = threading.Event()
        self._outage_logged = False
        self._call = None
        self._waiting_since: float | None = None  # None while a message is being read
        self._heartbeat_seconds = FIRST_HEARTBEAT_SECONDS
        self._thread = threading.Thread(target=self._run, name="tidegate-config", daemon=True)

    @property
    def state(self) -> State:
        """How fresh the snapshot is."""
        return self._state

    @property
    def age(self) -> float | None:
        """Seconds since the server was last heard, even if only to say that nothing changed."""
        return None if self.heard_at is None else max(0.0, self._clock() - self.heard_at)

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

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until there is a snapshot; False if `timeout` (seconds) or `close` came first."""
        self._has_snapshot.wait(timeout)
        return self._state in (State.READY, State.STALE)

    def check(self) -> None:
        """Cancel a stream that has been silent for too long; it is then opened anew."""
        call, since = self._call, self._waiting_since
        if call is None or since is None:
            return
        if self._clock() - since > MISSED_HEARTBEATS * self._heartbeat_seconds:
            if not self._outage_logged:
                log.info("%s has been silent for too long: connecting again", self._address)
            self._waiting_since = None
            call.cancel()

    def close(self, timeout: float) -> None:
        """Stop watching; wait at most `timeout` seconds for the thread."""
        self._stopping.set()
        call = self._call
        if call is not None:
            call.cancel()
        if self._thread.is_alive():
            if self._thread is not threading.current_thread():  # not a callback's doing
                self._thread.join(timeout)
        else:
            self._become(State.CLOSED)
        self._state = State.CLOSED
        self._has_snapshot.set()

    def after_fork(self) -> None:
        """Become a stream of the child process that has yet to be started."""
        leave_to_parent(self._call)
        settled = self.is_settled
        self._reset()
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

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = self._clock()
            self._follow_once()
            if self._stopping.is_set():
                break
            if self._state is State.READY:
                self._become(State.STALE)
                if self._clock() - began >= STEADY_SECONDS:
                    failures = 0
            failures += 1
            self._stopping.wait(self._backoff.pause(failures))
        self._state = State.CLOSED
        self._has_snapshot.set()
        self.states.tell(State.CLOSED)

    def _follow_once(self) -> None:
        """Watch until the stream ends, for whatever reason."""
        try:
            self._follow()
        except grpc.RpcError as error:
            self._log_outage(error)
        except NoChannel:
            self._stopping.wait()  # it can only be closed
        except (OutOfStep, WireError) as error:
            self._limited_log.warning(
                "protocol", "the stream of %s begins anew: %s", self._address, error
            )
        except Exception:
            if not self._stopping.is_set():
                log.exception("the stream of flags met a fault, and begins anew")

    def _follow(self) -> None:
        stub = assignment_service_pb2_grpc.AssignmentServiceStub(self._channel())
        # A gRPC that was imported before this package connects only while a call waits: without
        # one, it notices a server that came back after ten seconds and more.
        call = self._call = stub.WatchFlags(
            self._request,
            wait_for_ready=self._outage_logged,
            metadata=((REQUEST_ID, secrets.token_hex(16)),),
        )
        if self._stopping.is_set():  # close() may have come before it could see the call
            call.cancel()
        try:
            self._waiting_since = self._clock()
            for response in call:
                self._waiting_since = None
                self.heard_at = self._clock()
                self._take(response)
                self._waiting_since = self._clock()
        finally:
            self._call = None
            call.cancel()

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

    def _log_outage(self, error: grpc.RpcError) -> None:
        """Log an outage once, not once for each attempt."""
        if self._outage_logged or self._stopping.is_set():
            return
        self._outage_logged = True
        code, details = grpc.StatusCode.UNKNOWN, str(error)
        if isinstance(error, grpc.Call):
            code, details = error.code(), error.details()
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
