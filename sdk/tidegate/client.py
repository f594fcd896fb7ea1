"""The client: local assignment, and events in the background."""

import atexit
import logging
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

import grpc

from tidegate.assignment import Assignment
from tidegate.config_stream import ConfigStream, State
from tidegate.errors import ConfigurationError
from tidegate.evaluation import NO_PHASE, Given
from tidegate.event_queue import EventQueue, QueueOptions
from tidegate.log_limit import LogLimit
from tidegate.model import FlagKey, Reason, VariantKey
from tidegate.recorder import Recorder

log = logging.getLogger("tidegate")

ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):([0-9]{1,5})")

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # a snapshot has no largest size
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

        Raises:
            ConfigurationError: an argument is wrong; an unreachable server is no error here.
        """
        self.address = _checked_address(address)
        options = QueueOptions(
            size=_checked_int("queue_size", queue_size, 10_000_000),
            batch_size=_checked_int("batch_size", batch_size, 10_000),
            flush_interval=_checked_interval(flush_interval),
            send_unit_ids=send_unit_ids,
        )
        self._channel = grpc.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        self._stream = ConfigStream(
            self._channel, self.address, client_name=_checked_name(client_name)
        )
        self._queue = EventQueue(self._channel, options, every_tick=self._stream.check)
        self._recorder = Recorder(self._queue.add)
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
    ) -> Assignment:
        """Return the variant of a unit. Never raises; the assignment's `reason` says what decided.

        Args:
            flag: key of the flag.
            unit_id: who is randomised: a string of 1 to 1,000 characters.
            attributes: what targeting rules look at: strings, numbers and booleans by name.
            default: the assignment's value where there is no variant to give.
        """
        try:
            compiled = self._stream.compiled
            try:
                given = compiled.choosers[flag](unit_id, attributes)
            except KeyError:
                given = compiled.chooser(flag)(unit_id, attributes)
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

    def track(self, name: str, value: float, assignment: Assignment) -> None:
        """Report an outcome of an assignment; the same as its own `track`, for any valid name.

        Args:
            name: the outcome: 1 to 100 characters of a-z, 0-9, ".", "_" and "-".
            value: a finite number or a boolean.
            assignment: what `assign` returned.
        """
        if not isinstance(assignment, Assignment):
            self._recorder.refuse(f"{name!r:.100}", "it needs what Client.assign returned")
            return
        self._recorder.track(assignment.given, assignment.unit_id, name, value)

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


def _checked_interval(value: object) -> float:
    if not isinstance(value, int | float) or not 0.01 <= value <= 60:
        raise ConfigurationError(
            f"flush_interval: {value!r} is out of range: give seconds, 0.01 to 60"
        )
    return float(value)
