"""The gRPC channel to the server: opened by the background thread that needs it first."""

import logging
import os
import threading

import grpc

from tidegate.grpc_start import WORKS_AFTER_FORK

log = logging.getLogger("tidegate")

OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # a snapshot has no largest size
    # A stream is read by the thread that asks for its messages. With gRPC's default, a helper
    # thread, grpcio 1.78 now and then leaves the reader waiting for ever, deaf to cancel(), when
    # the stream was opened while the server stopped; and a fork may then end the parent.
    ("SingleThreadedUnaryStream", 1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_500),
    ("grpc.use_local_subchannel_pool", 1),
)

REQUEST_ID = "x-request-id"
"""Metadata of each call: its id, which the server's log lines about it have."""

_inherited: list[object] = []
"""What a child process has from its parent's gRPC: it must be neither used nor freed."""


class NoChannel(Exception):  # noqa: N818 - nothing is wrong with the call
    """There is no channel to be had: it was closed, or this is a child that can't use gRPC."""


class SharedChannel:
    """Opens one channel and gives it to all."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._closed = False
        self._spoiled = False

    def get(self) -> grpc.Channel:
        """Return the channel.

        Raises:
            NoChannel: there is none to be had.
        """
        with self._lock:
            if self._closed or self._spoiled:
                raise NoChannel
            if self._channel is None:
                self._channel = grpc.insecure_channel(self.address, options=OPTIONS)
            return self._channel

    def close(self) -> None:
        """Close the channel; calls under way end."""
        with self._lock:
            self._closed = True
            if self._channel is not None:
                self._channel.close()

    def after_fork(self) -> None:
        """Leave the channel to the parent process; the child opens its own."""
        self._lock = threading.Lock()
        if self._channel is None:
            return
        leave_to_parent(self._channel)
        self._channel = None
        self._spoiled = not WORKS_AFTER_FORK
        if self._spoiled:
            log.error(
                "process %d was forked, and its gRPC does not work after that: flags stay as they "
                "are, and events are lost; import tidegate before grpc (or set "
                "GRPC_POLL_STRATEGY=poll), and leave GRPC_ENABLE_FORK_SUPPORT unset; or make the "
                "Client after the fork",
                os.getpid(),
            )


def leave_to_parent(inherited: object) -> None:
    """Keep an object of the parent's gRPC, in a child, from being freed."""
    if inherited is not None:
        _inherited.append(inherited)
