"""The processes of the demo: Tidegate's stack, and the application that uses it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidegate_server.cli.connection import CallRefused, ServerUnreachable
from tidegate_server.cli.data_dir import log_file
from tidegate_server.dashboard.tokens import kept_tokens, links
from tidegate_server.errors import TidegateServerError
from tidegate_server.settings import PREFIX
from tidegate_server.supervisor.role import cause_of, log_tail
from tidegate_server.supervisor.tether import tethered

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.05
_SERVING = "serving"
"""What the application says once it serves."""


class ProcessFailed(TidegateServerError):  # noqa: N818 - an outcome, as the supervisor's RoleFailed
    """A process of the demo ended or did not start; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process of the demo, with the file that its output goes to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            ProcessFailed: it ended.
        """
        if self.process.poll() is not None:
            raise self.failure(f"ended by itself ({cause_of(self.process.returncode)})")

    def failure(self, problem: str) -> ProcessFailed:
        """Return the error that says what is wrong with it."""
        tail = log_tail(self.log) or "(the log is empty)"
        return ProcessFailed(f"{self.name} {problem}; the end of {self.log}:\n{tail}")

    def end(self) -> None:
        """Ask it to stop, and kill it if it does not."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Stack:
    """A `tidegate up` of the demo's own, in its own folder."""

    def __init__(self, running: Running, data_dir: Path) -> None:
        self.running = running
        self._data_dir = data_dir

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self.running.process.pid

    def wait_ready(self) -> str:
        """Wait until all roles answer; return the server's address.

        Raises:
            ProcessFailed: it ended, or took too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            state = self._state()
            if state.get("ready"):
                return str(state["listen"])
            self.running.check()
            time.sleep(_POLL_SECONDS)
        raise self.running.failure(f"was not ready after {_START_SECONDS:.0f} s")

    def pages(self) -> Iterator[str]:
        """Yield links to the dashboard; none where it is not installed.

        Raises:
            ConfigurationError: the tokens can't be read.
        """
        address = self._state().get("pages")
        if address is not None:
            yield from links(str(address), kept_tokens(self._data_dir))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add the end of the server's log to what the server refuses in the block.

        Raises:
            ProcessFailed: a call failed.
        """
        try:
            yield
        except (CallRefused, ServerUnreachable) as error:
            log = log_file(self._data_dir, "server")
            raise ProcessFailed(f"{error}; the end of {log}:\n{log_tail(log)}") from error

    def _state(self) -> Mapping[str, object]:
        try:
            state = json.loads((self._data_dir / "roles.json").read_text())
        except FileNotFoundError:
            return {}
        return state if isinstance(state, dict) else {}


@contextmanager
def start_stack(folder: Path, listen: str, *, tied: bool) -> Iterator[Stack]:
    """Start `tidegate up` in `folder`, and stop it if the block fails, or if it is `tied` to it.

    tied: it ends with this process, whatever becomes of that; otherwise it stays.
    """
    words = (sys.executable, "-P", "-m", "tidegate_server.cli", "up", "--listen", listen)
    command = (*words, "--data-dir", str(folder))
    running = _start("the stack", tethered(command) if tied else command, folder / "up.log")
    try:
        yield Stack(running, folder)
    except BaseException:
        running.end()
        raise
    if tied:
        running.end()


class Application:
    """The demo's application, serving users."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def wait_serving(self) -> None:
        """Wait until it serves: its models are trained, and its flags are there.

        Raises:
            ProcessFailed: it ended before.
        """
        output = self._running.process.stdout
        if output is None or output.readline().decode().strip() != _SERVING:
            self._running.process.wait(_STOP_SECONDS)
            self._running.check()

    def watch(self, seconds: float) -> None:
        """Wait while it serves.

        Raises:
            ProcessFailed: it ended.
        """
        try:
            self._running.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        self._running.check()

    def finish(self) -> None:
        """Let it send what it has to report, write its ledger, and end.

        Raises:
            ProcessFailed: it did not end, or not all of its events were sent.
        """
        process = self._running.process
        if process.stdin is not None:
            process.stdin.close()
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise self._running.failure(f"did not end within {_STOP_SECONDS:.0f} s") from error
        if code != 0:
            raise self._running.failure(f"could not send all its events ({cause_of(code)})")


@contextmanager
def start_application(
    program: Path, folder: Path, server: str, *, rate: float, ledger: Path
) -> Iterator[Application]:
    """Start the application; at the end of the block it is gone, finished or not.

    program: the package's directory. rate: requests a second, > 0.
    """
    command = (
        *(sys.executable, "-P", "-m", program.name, "--server", server, "--rate", str(rate)),
        *("--result", str(ledger), "--stop-with-stdin"),
    )
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, [str(program.parent), _python_path()]))}
    running = _start(
        "the application", tethered(command), folder / "application.log", paths, piped=True
    )
    with running.process:
        try:
            yield Application(running)
        finally:
            running.process.kill()


def _python_path() -> str:
    return os.environ.get("PYTHONPATH", "")


def _start(
    name: str,
    command: tuple[str, ...],
    log: Path,
    variables: Mapping[str, str] | None = None,
    *,
    piped: bool = False,
) -> Running:
    """Start a process that knows none of the user's settings: the demo harms no other Tidegate."""
    inherited = {key: text for key, text in os.environ.items() if not key.startswith(PREFIX)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**inherited, **(variables or {})},
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C in the terminal is for the demo, which ends them
        )
    return Running(name, process, log)
