"""Joins what one client has in the background: channel, stream, queue, files and two threads.

A process that was forked has none of that running; it starts with its first assignment or event.
"""

import logging
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Any

from tidegate.channel import SharedChannel
from tidegate.config_stream import ConfigStream, State
from tidegate.delivery import Delivery
from tidegate.event_queue import EventQueue, QueueOptions
from tidegate.following import Following
from tidegate.model import Snapshot
from tidegate.replicas.stream import ReplicaStream
from tidegate.snapshot_file import SnapshotFile
from tidegate.spool import Spool

log = logging.getLogger("tidegate")

LEAST_SECONDS_FOR_STREAM = 0.1
"""How long `close` waits for the stream's thread, even if the queue used up the time."""


class Link:
    """A client's connection to the server, once `start` was called."""

    def __init__(
        self,
        address: str,
        options: QueueOptions,
        *,
        client_name: str = "",
        snapshot_file: Path | None = None,
        spool: Spool | None = None,
        offline: bool = False,
    ) -> None:
        """With `offline` nothing is ever started, and all events are discarded."""
        self._channel = SharedChannel(address)
        self._file = None if snapshot_file is None else SnapshotFile(snapshot_file)
        self.stream = ConfigStream(self._channel.get, address, client_name=client_name)
        self.delivery = Delivery(self._channel.get)
        self.queue = EventQueue(
            self.delivery,
            options,
            spool=spool,
            every_tick=self._tick,
            wake=self.start,
        )
        self._replicas: dict[str, ReplicaStream] = {}
        self._lock = threading.RLock()
        self._started = False
        self._closed = False
        self._offline = offline
        if offline:
            self.queue.discard()

    def begin_with(self, bootstrap: Snapshot | None) -> None:
        """Assign from the last good snapshot, else from `bootstrap`, until the server answers."""
        loaded = None if self._file is None else self._file.load()
        if loaded is not None:
            self.stream.begin_with(loaded.snapshot, loaded.age)
        elif bootstrap is not None:
            self.stream.begin_with(bootstrap, None)
        if self._offline:
            self.stream.expect_nothing()

    def follow(self, flag: str) -> ReplicaStream:
        """Return the stream of a flag's replicas, which is followed from now on."""
        with self._lock:
            stream = self._replicas.get(flag)
            if stream is None:
                stream = ReplicaStream(self._channel.get, self._channel.address, flag, self.start)
                self._replicas[flag] = stream
                if self._closed or self._offline:
                    stream.close(0.0)  # it will never hear anything: nobody shall wait for that
                elif self._started:
                    self._start(stream)
            return stream

    def start(self) -> None:
        """Begin to work, if that has not happened in this process."""
        with self._lock:
            if self._started or self._closed or self._offline:
                return
            self._started = True
            self.queue.awake()
            for each in self._streams:
                self._start(each)
            self._start(self.queue)
            self._close_with_multiprocessing()

    def close(self, timeout: float) -> None:
        """Deliver what is queued, for at most `timeout` seconds, and stop."""
        until = monotonic() + timeout
        with self._lock:
            self._closed = True
            self.queue.close(timeout)
            if self._file is not None and self.stream.state is State.READY:
                self._save(self._file, at_once=True)
            for each in self._streams:
                each.close(max(LEAST_SECONDS_FOR_STREAM, until - monotonic()))
            self._channel.close()

    def after_fork(self) -> None:
        """Become a link of the child process that has yet to be started."""
        self._lock = threading.RLock()
        self._started = False
        self._channel.after_fork()
        if self._file is not None:
            self._file.after_fork()
        for each in self._streams:
            each.after_fork()
        self.queue.after_fork()

    @property
    def _streams(self) -> tuple[Following[Any], ...]:
        return (self.stream, *self._replicas.values())

    def _start(self, part: Following[Any] | EventQueue) -> None:
        try:
            part.start()
        except RuntimeError as error:  # no thread can be started, for instance at the very end
            log.warning("flags and events are not updated: %s", error)

    def _tick(self) -> None:
        for each in self._streams:
            each.check()
        if self._file is not None and self.stream.state is State.READY:
            self._save(self._file)

    def _save(self, file: SnapshotFile, *, at_once: bool = False) -> None:
        file.save(self.stream.compiled.snapshot, self.stream.age or 0.0, at_once=at_once)

    def _close_with_multiprocessing(self) -> None:
        """Have a child of multiprocessing deliver its events: it ends without atexit."""
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self.close, args=(5.0,), exitpriority=10)
