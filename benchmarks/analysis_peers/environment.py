"""A peer's own environment, and its process."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from venv import EnvBuilder

from benchmarks.analysis_peers.stopwatch import Answer

ROOT = Path(sys.prefix) / "peers"
"""Below the environment that runs this: `make clean` removes both."""

REPOSITORY = Path(__file__).parents[2]


class PeerMissingError(Exception):
    """A peer can't be installed, or has ended; says why."""


class Peer:
    """A peer's process, waiting for a round."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def round(self, calls: int) -> tuple[float, list[Answer]]:
        """Return nanoseconds a call, and what the calls found.

        Raises:
            PeerMissingError: the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{calls}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerMissingError(f"ended with status {self._process.wait()}") from None
        line = self._process.stdout.readline()
        if not line:
            raise PeerMissingError(f"ended with status {self._process.wait()}")
        nanoseconds, answers = json.loads(line)
        return nanoseconds, [tuple(each) for each in answers]


@contextmanager
def peer(name: str, requirements: Sequence[str]) -> Iterator[Peer]:
    """Run the adapter `name`, in an environment with its requirements.

    Raises:
        PeerMissingError: its requirements can't be installed.
    """
    python = environment(requirements)
    command = [python, "-m", f"benchmarks.analysis_peers.{name}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True) as process:
        yield Peer(process)


def environment(requirements: Sequence[str]) -> Path:
    """Return the Python that has these installed; make its environment, if it is not there.

    Raises:
        PeerMissingError: they can't be installed.
    """
    home = ROOT / requirements[0].replace("==", "-")
    python, ready = home / "bin" / "python", home / "ready"
    if ready.exists() and ready.read_text() == " ".join(requirements):
        return python
    EnvBuilder(with_pip=True, clear=True).create(home)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*install, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerMissingError(done.stderr.strip().splitlines()[-1])
    ready.write_text(" ".join(requirements))
    return python
