"""Disks that are full after some megabytes, until a test makes room."""

import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

ROOM_MB = 6
"""What the store can write before the disk is full."""

_BALLAST_MB = 60
_HOLD = (
    'mount -t tmpfs -o size="$2"m tmpfs "$1" && head -c "$3"M /dev/zero > "$1/ballast" '
    "&& echo ready && exec sleep infinity"
)
_LIMIT = 'trap "" XFSZ; exec prlimit --fsize="$0":unlimited "$@"'


class Disk(Protocol):
    """Where the store's files are."""

    def around(self, command: Sequence[str]) -> Sequence[str]:
        """Return the command line of a process that has this disk."""
        ...

    def make_room(self, pid: int | None) -> None:
        """Make room for that process, if it runs, and for all that are started later."""
        ...


class SmallDisk:
    """A file system of its own, mounted for `holder` and for whoever enters its namespaces."""

    def __init__(self, directory: Path, holder: int) -> None:
        self._holder = holder
        self._ballast = Path(f"/proc/{holder}/root{directory}/ballast")

    def around(self, command: Sequence[str]) -> Sequence[str]:
        words = ["--user", "--mount", "--preserve-credentials", f"--target={self._holder}"]
        return [_program("nsenter"), *words, "--", *command]

    def make_room(self, pid: int | None) -> None:
        self._ballast.unlink()


class SmallFiles:
    """The machine's disk with a limit to each file's size: writes beyond fail, as on a full one."""

    def __init__(self) -> None:
        self._limited = True

    def around(self, command: Sequence[str]) -> Sequence[str]:
        limit = ROOM_MB << 20 if self._limited else "unlimited"
        return [_program("sh"), "-c", _LIMIT, str(limit), *command]

    def make_room(self, pid: int | None) -> None:
        self._limited = False
        if pid is not None:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


def mounts_are_allowed() -> bool:
    """Return whether this process can have a file system of its own."""
    words = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    return shutil.which("unshare") is not None and not subprocess.run(words, check=False).returncode


@contextmanager
def small_disk(directory: Path) -> Iterator[Disk]:
    """Mount a small disk on `directory` for the processes that are told to use it."""
    sizes = str(_BALLAST_MB + ROOM_MB), str(_BALLAST_MB)
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _HOLD, "sh"]
    with subprocess.Popen([*words, str(directory), *sizes], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"ready\n"
            yield SmallDisk(directory, holder.pid)
        finally:
            holder.kill()


@contextmanager
def small_files(_: Path) -> Iterator[Disk]:
    """Leave the directory where it is, and limit the size of files."""
    yield SmallFiles()


def _program(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed"
    return path
