"""Keeps one stream of the server open: one thread, which never gives up.

Whatever ends a stream (an error, its end, silence, a message out of step), it is opened anew after
a jittered pause that doubles.
"""

import logging
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import grpc

from tidegate.backoff import Backoff
from tidegate.channel import REQUEST_ID, NoChannel, leave_to_parent
from tidegate.errors import WireError
from tidegate.log_limit import LogLimit

log = logging.getLogger("tidegate")

FIRST_HEARTBEAT_SECONDS = 10.0
"""Interval of messages that is assumed until the server tells its own."""

MISSED_HEARTBEATS = 3
"""After so many intervals of silence a stream counts as dead."""

STEADY_SECONDS = 5.0
"""A stream that lived as long as this sets the pauses back to their beginning."""

Response = TypeVar("Response")
Received = TypeVar("Received", covariant=True)


class OutOfStep(Exception):  # noqa: N818 - a reason to begin again, not a fault
    """A message does not follow what came before it."""


class Call(Protocol[Received]):
    """An open stream."""

    def __iter__(self) -> Iterator[Received]: ...

    def cancel(self) -> object:
        """End it."""
        ...


class Following(ABC, Generic[Response]):
    """Follows a stream, once `start` was called. A subclass opens it and takes its messages.

    `heard_at` is when the server was last heard, by `clock`; None: never. `check` must be called
    about once a second, from any other thread: it is what notices silence.
    """

    def __init__(
        self,
        channel: Callable[[], grpc.Channel],
        address: str,
        *,
        thread_name: str,
        what: str,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`channel` gives the channel, with `channel.OPTIONS`, when it is needed.

        `address` is for messages, as is `what`: is streamed; `clock` tells seconds.
        """
        self.heard_at: float | None = None
        self._channel = channel
        self._address = address
        self._thread_name = thread_name
        self._what = what
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._call: Call[Response] | None = None
        self._reset()

    def _reset(self) -> None:
        """Set what belongs to one process: locks, the thread, and what is known of its stream."""
        self._limited_log = LogLimit(log)
        self._stopping = threading.Event()
        self._outage_logged = False
        self._brought = False  # the present stream has brought a message
        self._call = None
        self._waiting_since: float | None = None  # None while a message is being read
        self._heartbeat_seconds = FIRST_HEARTBEAT_SECONDS
        self._thread = threading.Thread(target=self._run, name=self._thread_name, daemon=True)

    @abstractmethod
    def _open(self, channel: grpc.Channel, **how: Any) -> Call[Response]:
        """Open the stream; `how` goes to the call."""

    @abstractmethod
    def _take(self, response: Response) -> None:
        """Take one message.

        Raises:
            OutOfStep, WireError: the stream is to begin anew.
        """

    @abstractmethod
    def _lost(self) -> None:
        """Note that the stream ended."""

    @abstractmethod
    def _stopped(self) -> None:
        """Note that this stream, which was followed, never will be again."""

    @abstractmethod
    def _log_outage(self, code: grpc.StatusCode, details: str) -> None:
        """Log the first failure of an outage."""

    @property
    def age(self) -> float | None:
        """Seconds since the server was last heard, even if only to say that nothing changed."""
        return None if self.heard_at is None else max(0.0, self._clock() - self.heard_at)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

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
        """Stop following; wait at most `timeout` seconds for the thread."""
        self._stopping.set()
        call = self._call
        if call is not None:
            call.cancel()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)  # the current one: a callback closes us

    def after_fork(self) -> None:
        """Become a stream of the child process that has yet to be started."""
        leave_to_parent(self._call)
        self._reset()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began, self._brought = self._clock(), False
            self._follow_once()
            if self._stopping.is_set():
                break
            self._lost()
            if self._brought and self._clock() - began >= STEADY_SECONDS:
                failures = 0
            failures += 1
            self._stopping.wait(self._backoff.pause(failures))
        self._stopped()

    def _follow_once(self) -> None:
        """Follow until the stream ends, for whatever reason."""
        try:
            self._follow()
        except grpc.RpcError as error:
            self._note_outage(error)
        except NoChannel:
            self._stopping.wait()  # it can only be closed
        except (OutOfStep, WireError) as error:
            self._limited_log.warning(
                "protocol", "the stream of %s begins anew: %s", self._address, error
            )
        except Exception:
            if not self._stopping.is_set():
                log.exception("the stream of %s met a fault, and begins anew", self._what)

    def _follow(self) -> None:
        # A gRPC that was imported before this package connects only while a call waits: without
        # one, it notices a server that came back after ten seconds and more.
        call = self._call = self._open(
            self._channel(),
            wait_for_ready=self._outage_logged,
            metadata=((REQUEST_ID, secrets.token_hex(16)),),
        )
        if self._stopping.is_set():  # close() may have come before it could see the call
            call.cancel()
        try:
            self._waiting_since = self._clock()
            for response in call:
                self._waiting_since = None
                self._brought, self.heard_at = True, self._clock()
                self._take(response)
                self._waiting_since = self._clock()
        finally:
            self._call = None
            call.cancel()

    def _note_outage(self, error: grpc.RpcError) -> None:
        """Log an outage once, not once for each attempt."""
        if self._outage_logged or self._stopping.is_set():
            return
        self._outage_logged = True
        code, details = grpc.StatusCode.UNKNOWN, str(error)
        if isinstance(error, grpc.Call):
            code, details = error.code(), error.details()
        self._log_outage(code, details)
