"""Batches of events on disk: what could not be delivered outlives an outage, and the process.

    DIRECTORY/
      18a9c2f1-5d0e/       of one writer, which holds a lock on the file `lock` while it lives
        lock
        000000000001-500.batch   an EventBatch; its number, and how many events it has

A file appears under its name when it is complete, and is removed when the server has answered.
What a writer leaves behind is adopted by the next process that spools in the same directory. The
files are not synced one by one: they survive the end of the process, however sudden, but the last
ones may not survive the end of the machine.
"""

import logging
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from tidegate.event_batch import Batch
from tidegate.log_limit import LogLimit
from tidegate.v1 import event_service_pb2

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("tidegate")

SUPPORTED = fcntl is not None
"""Whether this system has the locks that a spool needs."""

LOCK = "lock"
SUFFIX = ".batch"


@dataclass(frozen=True, slots=True)
class Spooled:
    """A batch on disk; `own`: whether this process spooled it."""

    path: Path
    own: bool


class Spool:
    """Keeps batches in a directory, up to `most_bytes` of this process.

    For one thread; only `put` and `close` may also come from another.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._limited_log = LogLimit(log)
        self._writer: _Writer | None = None
        self._adopted: list[_Writer] = []
        self._waiting: dict[Path, Spooled] = {}  # in order
        self._bytes = 0
        self._number = 0
        self._closed = False
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, batch: Batch) -> bool:
        """Keep a batch; False if there is no room, or it can't be written, which is logged."""
        with self._lock:
            return not self._closed and self._put(batch)

    def _put(self, batch: Batch) -> bool:
        if self._bytes + len(batch.payload) > self._most_bytes:
            self._limited_log.warning(
                "full",
                "the spool in %s is full (spool_size): events wait in memory, and are dropped and "
                "counted when that is full too",
                self._directory,
            )
            return False
        try:
            if self._writer is None:
                self._writer = _Writer.new(self._directory)
            self._number += 1
            name = f"{self._number:012d}-{batch.size}{SUFFIX}"
            path = self._writer.write(name, batch.payload)
        except OSError as error:
            self._limited_log.warning("write", "spool_dir: %s cannot be written", error)
            return False
        self._bytes += len(batch.payload)
        self._waiting[path] = Spooled(path, own=True)
        return True

    def oldest(self) -> tuple[Spooled, Batch] | None:
        """Return what should be delivered next; None if nothing waits."""
        while self._waiting:
            spooled = next(iter(self._waiting.values()))
            try:
                payload = spooled.path.read_bytes()
                message = event_service_pb2.EventBatch.FromString(payload)
                return spooled, Batch(payload, len(message.values))
            except (OSError, DecodeError) as error:
                log.warning("spool_dir: %s is left out: %s", spooled.path, error)
                self.remove(spooled)
        return None

    def remove(self, spooled: Spooled) -> None:
        """Forget a batch that was delivered, or refused for good."""
        with self._lock:
            self._remove(spooled)

    def _remove(self, spooled: Spooled) -> None:
        try:
            if spooled.own:
                self._bytes -= spooled.path.stat().st_size
            spooled.path.unlink()
        except OSError as error:
            self._limited_log.warning("remove", "spool_dir: %s cannot be removed", error)
        self._waiting.pop(spooled.path, None)
        if not self._waiting:
            self._leave_adopted()

    def adopt(self) -> int:
        """Take over the batches of writers that no longer live; return how many there are."""
        found = 0
        try:
            places = sorted(self._directory.iterdir()) if self._directory.is_dir() else []
            for place in places:
                if place.name.startswith(".") or self._has(place):
                    continue
                writer = _Writer.adopt(place)
                if writer is not None:
                    self._adopted.append(writer)
                    for path in writer.batches():
                        self._waiting[path] = Spooled(path, own=False)
                        found += 1
        except OSError as error:
            self._limited_log.warning("adopt", "spool_dir: %s", error)
        if not self._waiting:
            self._leave_adopted()
        if found:
            log.info("%d batches of an earlier process wait in %s", found, self._directory)
        return found

    def close(self) -> None:
        """Let go of everything, and take no more; what waits is left to the next process."""
        with self._lock:
            self._closed = True
            self._leave_adopted()
            if self._writer is not None:
                self._writer.leave()
                self._writer = None
            self._waiting.clear()

    def after_fork(self) -> None:
        """Leave everything to the parent process, the locks too."""
        for writer in (self._writer, *self._adopted):
            if writer is not None:
                writer.close()
        self._limited_log = LogLimit(log)
        self._lock = threading.RLock()
        self._writer = None
        self._adopted = []
        self._waiting = {}
        self._bytes = 0

    def _has(self, place: Path) -> bool:
        mine = (self._writer, *self._adopted)
        return any(writer is not None and writer.place == place for writer in mine)

    def _leave_adopted(self) -> None:
        for writer in self._adopted:
            writer.leave()
        self._adopted = []


class _Writer:
    """One writer's directory, and the lock on it, which ends with the process."""

    def __init__(self, place: Path, lock: int) -> None:
        self.place = place
        self._lock = lock

    @classmethod
    def new(cls, directory: Path) -> "_Writer":
        """Make a directory, which appears under its name when it is locked."""
        name = f"{time.time_ns() // 1_000_000:x}-{secrets.token_hex(4)}"
        hidden = directory / f".{name}"
        hidden.mkdir(parents=True)
        lock = os.open(hidden / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(hidden.rename(directory / name), lock)

    @classmethod
    def adopt(cls, place: Path) -> "_Writer | None":
        """Lock a directory; None if its writer lives, or it is no writer's."""
        try:
            lock = os.open(place / LOCK, os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return cls(place, lock)

    def write(self, name: str, payload: bytes) -> Path:
        """Write a file whose name appears when it is complete."""
        path = self.place / name
        partial = path.with_suffix(".partial")
        partial.write_bytes(payload)
        return partial.replace(path)

    def batches(self) -> list[Path]:
        """Return the batches, oldest first."""
        return sorted(path for path in self.place.iterdir() if path.suffix == SUFFIX)

    def leave(self) -> None:
        """Let go of the lock, and remove the directory if no batch is left in it."""
        try:
            if not self.batches():
                for path in self.place.iterdir():
                    path.unlink()
                self.place.rmdir()
        except OSError as error:
            log.info("spool_dir: %s is left as it is: %s", self.place, error)
        self.close()

    def close(self) -> None:
        """Close the lock's file; in a child this leaves the lock with the parent."""
        os.close(self._lock)
