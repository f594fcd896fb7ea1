"""The data directory of `tidegate up`: its lock, and the file that says who runs in it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidegate_server.errors import ConfigurationError

_LOCK = "lock"
_ROLES = "roles.json"
_LOGS = "logs"


def make(data_dir: Path) -> None:
    """Make the directory and what is in it, for this user alone.

    Raises:
        ConfigurationError: it can't be made.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / _LOGS).mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"--data-dir (TIDEGATE_DATA_DIR): {data_dir} cannot be made ({error.strerror}); "
            "choose a directory that can be written to"
        ) from error


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the directory for the block; the lock ends with the process, however that ends.

    Raises:
        ConfigurationError: another process holds it.
    """
    with (data_dir / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise ConfigurationError(
                f"--data-dir (TIDEGATE_DATA_DIR): another `tidegate up` (process {holder}) runs in "
                f"{data_dir}: stop it, or choose another directory"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def log_file(data_dir: Path, role: str) -> Path:
    """Return where a role's output goes."""
    return data_dir / _LOGS / f"{role}.log"


class RolesFile:
    """roles.json: what runs, while `tidegate up` does.

    {"listen": "127.0.0.1:7070", "pages": "127.0.0.1:7071", "ready": true,
     "supervisor": {"pid": 100},
     "server": {"pid": 102, "restarts": 0, "metrics": "http://127.0.0.1:9464/metrics"}, …}
    """

    def __init__(self, data_dir: Path, listen: str, pages: str | None = None) -> None:
        self._path = data_dir / _ROLES
        self._content: dict[str, Any] = {
            "listen": listen,
            **({} if pages is None else {"pages": pages}),
            "ready": False,
            "supervisor": {"pid": os.getpid()},
        }
        self._write()

    def started(self, role: str, pid: int, restarts: int, metrics: str | None = None) -> None:
        """Note a role's process, and the URL of its metrics, if it has any."""
        served = {} if metrics is None else {"metrics": metrics}
        self._content[role] = {"pid": pid, "restarts": restarts, **served}
        self._write()

    def ready(self) -> None:
        """Note that all roles answer."""
        self._content["ready"] = True
        self._write()

    def remove(self) -> None:
        """Remove the file: nothing runs any more."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._content, indent=2) + "\n")
        draft.replace(self._path)  # readers see the old content or the new, never a part
