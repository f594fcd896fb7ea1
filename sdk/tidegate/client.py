"""The client: local assignment, and events in the background."""

import atexit
import logging
import os
import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

import grpc

from tidegate import config_stream
from tidegate.assignment import Assignment
from tidegate.attributes import randomised_unit
from tidegate.bucketing import plain_unit_id
from tidegate.config_stream import ConfigStream, State
from tidegate.errors import ConfigurationError
from tidegate.evaluation import NO_PHASE, CompiledSnapshot, Given
from tidegate.event_queue import EventQueue, QueueOptions
from tidegate.explanation import Explanation, explain
from tidegate.log_limit import LogLimit
from tidegate.model import FlagKey, Reason, VariantKey
from tidegate.recorder import Recorder, shown
from tidegate.sessions import Sessions

log = logging.getLogger("tidegate")

ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):([0-9]{1,5})")

CHANNEL_OPTIONS = (
    *config_stream.CHANNEL_OPTIONS,
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers of events, exposures and outcomes together, since the client was made.

    `queued`: waiting or under way now. `acknowledged`: stored by the server. `dropped`: lost, to a
    full queue, a final refusal by the server, or an end without a server. `refused`: outcomes that
    could not be recorded, because of their name, their value, or an assignment without a variant.
    """

    queued: int
    acknowledged: int
    dropped: int
    refused: int


class Client:
    """Assigns units to variants in process, and reports what became of it.

    Make one for a process and share it between threads. The constructor returns at once and does no
    I/O; two daemon threads do the rest. `assign` and `track` never raise, wait or do I/O.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        client_name: str = "",
        record_exposures: bool = True,
        send_unit_ids: bool = True,
        queue_size: int = 100_000,
        batch_size: int = 500,
        flush_interval: float = 1.0,
        session_ttl: float = 3_600.0,
    ) -> None:
        """Begin to connect.

        Args:
            address: the server's "host:port"; without it, the environment's TIDEGATE_SERVER.
            client_name: names this program in the server's log; at most 100 characters.
            record_exposures: whether `assign` records that a unit was given a variant.
            send_unit_ids: whether ids of units are sent; without, only their hashes are.
            queue_size: most events that wait for the server; further ones are dropped and counted.
                1 to 10,000,000.
            batch_size: most events sent at once, 1 to 10,000.
            flush_interval: longest time an event waits for others, in seconds: 0.01 to 60.
            session_ttl: how long a pinned session is remembered after its last use, in seconds:
                1 to 86,400. See `assign`.

        Raises:
            ConfigurationError: an argument is wrong; an unreachable server is no error here.
        """
        self.address = _checked_address(address)
        options = QueueOptions(
            size=_checked_int("queue_size", queue_size, 10_000_000),
            batch_size=_checked_int("batch_size", batch_size, 10_000),
            flush_interval=_checked_seconds("flush_interval", flush_interval, 0.01, 60),
            send_unit_ids=send_unit_ids,
        )
        self._channel = grpc.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        self._stream = ConfigStream(
            self._channel, self.address, client_name=_checked_name(client_name)
        )
        self._queue = EventQueue(self._channel, options, every_tick=self._stream.check)
        self._recorder = Recorder(self._queue.add, self._variants_of)
        self._sessions = Sessions(_checked_seconds("session_ttl", session_ttl, 1, 86_400))
        self._exposing = record_exposures
        self._limited_log = LogLimit(log)
        self._close_lock = threading.RLock()
        self._stream.start()
        self._queue.start()
        atexit.register(self.close)

    def assign(
        self,
        flag: str,
        unit_id: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        default: Any = None,
        session_id: str | None = None,
    ) -> Assignment:
        """Return the variant of a unit. Never raises; the assignment's `reason` says what decided.

        With a `session_id`, a conversation of the unit keeps the variant that a split gave it, and
        its phase, while the split changes. Its pin breaks when the flag is killed or deleted, when
        the variant has no share left, and when it was not used for `session_ttl`. Pins live in this
        process, 100,000 at most.

        Args:
            flag: key of the flag.
            unit_id: who is randomised: a string of 1 to 1,000 characters.
            attributes: what targeting rules look at: strings, numbers and booleans by name.
            default: the assignment's value where there is no variant to give.
            session_id: names a session of the unit: a string of 1 to 1,000 characters.
        """
        try:
            compiled = self._stream.compiled
            try:
                given = compiled.choosers[flag](unit_id, attributes)
            except KeyError:
                given = compiled.chooser(flag)(unit_id, attributes)
            if session_id is not None or given.unit_attribute:
                unit_id, given = self._settled(compiled, unit_id, attributes, session_id, given)
            assignment = Assignment()
            assignment.unit_id = unit_id
            assignment.revision = compiled.revision
            assignment.recorder = recorder = self._recorder
            if given.variant:
                if self._exposing and unit_id not in recorder.seen.get(given, ()):
                    recorder.expose(given, unit_id)
            else:
                given = self._without_variant(given, unit_id, default)
            assignment.given = given
        except Exception as error:  # noqa: BLE001 - must not reach the application
            return self._failed(flag, unit_id, default, error)
        return assignment

    def track(self, name: str, value: float, assignment: Assignment | str) -> None:
        """Report an outcome of an assignment; the same as its own `track`, for any valid name.

        Args:
            name: the outcome: 1 to 100 characters of a-z, 0-9, ".", "_" and "-".
            value: a boolean, or a number within ±1e100.
            assignment: what `assign` returned, or its `token`, also in another process and later.
        """
        if isinstance(assignment, Assignment):
            self._recorder.track(assignment.given, assignment.unit_id, name, value)
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
        return explain(self._stream.compiled, flag, unit_id, attributes)

    @property
    def state(self) -> State:
        """How fresh the snapshot is."""
        return self._stream.state

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until there is a snapshot; False if `timeout` (seconds) or `close` came first."""
        return self._stream.wait_ready(timeout)

    def flush(self, timeout: float | None = None) -> bool:
        """Send all events recorded so far; wait at most `timeout` seconds for the server's answer.

        Returns False if the time ran out or events were lost.
        """
        return self._queue.flush(timeout)

    def stats(self) -> Stats:
        """Return what became of the events."""
        counts = self._queue.counts()
        return Stats(
            counts.queued, counts.acknowledged, counts.dropped, refused=self._recorder.refused
        )

    def close(self, timeout: float = 5.0) -> None:
        """Deliver what is queued, for at most `timeout` seconds, and stop; once is enough.

        Called by itself when the interpreter ends. Assignments go on from the last snapshot; events
        are dropped and counted from now on.
        """
        until = monotonic() + timeout
        with self._close_lock:
            atexit.unregister(self.close)
            self._queue.close(timeout)
            self._stream.close(max(0.1, until - monotonic()))
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _settled(
        self,
        compiled: CompiledSnapshot,
        unit_id: Any,
        attributes: Mapping[str, Any] | None,
        session_id: object,
        given: Given,
    ) -> tuple[Any, Given]:
        """Return the unit that is randomised, and what it is given in its session."""
        if given.unit_attribute:
            unit_id = randomised_unit(given.unit_attribute, unit_id, attributes)
        unit = plain_unit_id(unit_id)
        if session_id is None or unit is None:
            return unit_id, given
        session = plain_unit_id(session_id)
        if session is None:
            self._limited_log.warning(
                f"session of {given.flag}",
                "flag %s: session_id must be a string of 1 to 1,000 characters, not %s; "
                "the session is not pinned",
                given.flag,
                shown(session_id),
            )
            return unit_id, given
        return unit_id, self._sessions.given(compiled.snapshot, session, unit, given)

    def _variants_of(self, flag_key: str) -> Collection[str] | None:
        flag = self._stream.compiled.snapshot.flags.get(FlagKey(flag_key))
        return None if flag is None else {variant.key for variant in flag.variants}

    def _without_variant(self, given: Given, unit_id: object, default: Any) -> Given:
        if given.reason is Reason.INVALID_UNIT:
            self._limited_log.warning(
                f"unit of {given.flag}",
                "flag %s: unit_id must be a string of 1 to 1,000 characters, not %.100r",
                given.flag,
                unit_id,
            )
        return given if default is None else given.with_value(default)

    def _failed(self, flag: str, unit_id: str, default: Any, error: Exception) -> Assignment:
        self._limited_log.warning(
            f"{flag!r:.100}", "flag %.100r could not be evaluated", flag, error=error
        )
        assignment = Assignment()
        assignment.given = Given(FlagKey(flag), VariantKey(""), default, Reason.ERROR, "", NO_PHASE)
        assignment.unit_id = unit_id
        assignment.revision = self._stream.compiled.revision
        assignment.recorder = self._recorder
        return assignment


def _checked_address(address: object) -> str:
    source = "address"
    if address is None:
        source, address = "TIDEGATE_SERVER", os.environ.get("TIDEGATE_SERVER", "")
        if not address:
            raise ConfigurationError(
                'address: not given, and TIDEGATE_SERVER is not set; give "host:port", '
                'for instance Client("127.0.0.1:7070")'
            )
    match = ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if match is None or not 1 <= int(match[2]) <= 65_535:
        raise ConfigurationError(
            f'{source}: {address!r} is not of the form "host:port"; '
            'give a name or an IP address and a port, for instance "127.0.0.1:7070"'
        )
    return match[0]


def _checked_name(value: object) -> str:
    if not isinstance(value, str) or len(value) > 100:
        raise ConfigurationError("client_name: give a string of at most 100 characters")
    return value


def _checked_int(name: str, value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ConfigurationError(f"{name}: {value!r} is out of range: give a whole 1 to {most:,}")
    return value


def _checked_seconds(name: str, value: object, least: float, most: float) -> float:
    if not isinstance(value, int | float) or not least <= value <= most:
        raise ConfigurationError(
            f"{name}: {value!r} is out of range: give seconds, {least:g} to {most:,}"
        )
    return float(value)
