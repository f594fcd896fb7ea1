"""Snapshots in files: the last one that was known to be good, and one to begin with."""

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from tidegate.errors import ConfigurationError, WireError
from tidegate.log_limit import LogLimit
from tidegate.model import Snapshot
from tidegate.v1 import assignment_service_pb2
from tidegate.wire import snapshot_from_message, snapshot_to_message

log = logging.getLogger("tidegate")

FORMAT = "tidegate-snapshot-1"
"""Begins the header: a line of JSON, before a FlagSnapshot in protobuf's encoding."""

LEAST_SECONDS_BETWEEN = 1.0
"""A file is written at most this often."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot from a file, and the seconds since the server was heard before it was written."""

    snapshot: Snapshot
    age: float


class SnapshotFile:
    """Keeps the last good snapshot in a file, for the next start. For one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: Snapshot | None = None
        self._next = 0.0
        self._limited_log = LogLimit(log)

    def load(self) -> Loaded | None:
        """Read the file; None if there is none, or it is broken, which is logged."""
        try:
            head, _, payload = self._path.read_bytes().partition(b"\n")
            loaded = _read(head, payload)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, DecodeError) as error:
            log.warning("snapshot_file: %s is ignored: %s", self._path, error)
            return None
        self._saved = loaded.snapshot
        return loaded

    def save(self, snapshot: Snapshot, age: float, *, at_once: bool = False) -> None:
        """Write a snapshot of `age` seconds, if it is another than before.

        Within a second of the last time it is left to a later call, unless it must be `at_once`.
        The old file stays until the new one is complete. A failure is logged.
        """
        now = time.monotonic()
        if snapshot is self._saved or (now < self._next and not at_once):
            return
        self._next = now + LEAST_SECONDS_BETWEEN
        try:
            self._write(_written(snapshot, age))
            self._saved = snapshot
        except OSError as error:
            self._limited_log.warning("write", "snapshot_file: it cannot be written: %s", error)

    def after_fork(self) -> None:
        """Replace what another thread may have held when this process was forked."""
        self._limited_log = LogLimit(log)

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def bootstrap_snapshot(source: object) -> Snapshot:
    """Read a FlagSnapshot in protobuf's JSON form: a file's path, or a dictionary.

    Raises:
        ConfigurationError: it can't be read; the message names `bootstrap`.
    """
    message = assignment_service_pb2.FlagSnapshot()
    try:
        if isinstance(source, Mapping):
            json_format.ParseDict(dict[str, Any](source), message)
        elif isinstance(source, str | os.PathLike):
            json_format.Parse(Path(source).read_text("utf-8"), message)
        else:
            raise ConfigurationError(
                f"bootstrap: give a path or a dictionary, not a {type(source).__name__}"
            )
        return snapshot_from_message(message, _refuse)
    except (OSError, UnicodeDecodeError, json_format.ParseError, WireError) as error:
        raise ConfigurationError(
            f"bootstrap: {error}; give a FlagSnapshot in protobuf's JSON form"
        ) from error


def _read(head: bytes, payload: bytes) -> Loaded:
    header = json.loads(head)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    if header["sha256"] != hashlib.sha256(payload).hexdigest():
        raise ValueError("its checksum does not match: it is incomplete or was edited")
    message = assignment_service_pb2.FlagSnapshot.FromString(payload)
    age = max(0.0, time.time() - float(header["heard_at"]))
    return Loaded(snapshot_from_message(message, _log_unreadable), age)


def _written(snapshot: Snapshot, age: float) -> bytes:
    payload = snapshot_to_message(snapshot).SerializeToString()
    header = {
        "format": FORMAT,
        "heard_at": round(time.time() - age, 3),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "revision": snapshot.revision,
    }
    return json.dumps(header).encode() + b"\n" + payload


def _refuse(error: WireError) -> None:
    raise error


def _log_unreadable(error: WireError) -> None:
    log.warning("snapshot_file: a flag cannot be read and is left out: %s", error)
