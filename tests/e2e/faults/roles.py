"""Store, server and workers, each a process that a test kills, freezes and starts again."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.stack import WITHOUT_SETTINGS, command, free_port
from tidegate_server import embedded_store
from tidegate_server.cli.listening import wait_serving
from tidegate_server.supervisor.role import log_tail
from tidegate_server.supervisor.tether import tethered

STORE, SERVER, WORKER, SECOND_WORKER = "store", "server", "worker-1", "worker-2"
CONTROLLER, SECOND_CONTROLLER = "controller", "controller-2"
START_SECONDS = 30
STOP_SECONDS = 20
POLL_SECONDS = 0.05
FATAL = ("Traceback", "error: unexpected", "batch_set_aside", "call_failed")
"""What no role may ever log: a defect, or a batch that came out of the store damaged."""


@dataclass
class Roles:
    """Processes by name: STORE, SERVER, names that begin with CONTROLLER, and else for workers.

    `store_command` takes the place of the embedded store's, and `redis_urls` of its URL by role.
    """

    data_dir: Path
    settings: dict[str, str] = field(default_factory=dict)
    store_command: Callable[[], Sequence[str]] | None = None
    redis_urls: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    def __post_init__(self) -> None:
        embedded_store.prepare(self.data_dir)

    def start(self, *names: str) -> None:
        """Start roles."""
        for name in names:
            with self._log(name).open("ab") as log:
                self.running[name] = subprocess.Popen(
                    tethered(tuple(self._command(name))),
                    env=self._environment(name),
                    stdout=log,
                    stderr=log,
                )

    def wait_ready(self) -> None:
        """Wait until the server serves, which it does when it has met its store."""
        asyncio.run(asyncio.wait_for(wait_serving(self.address), START_SECONDS))

    def kill(self, name: str) -> None:
        """End a role without warning; until then it must have run."""
        assert self.running[name].poll() is None, f"{name} ended by itself"
        self.signal(name, signal.SIGKILL)
        self.await_end(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a role."""
        self.running[name].send_signal(number)

    def await_end(self, name: str) -> int:
        """Wait until a role has ended, by itself or not; return its exit code."""
        return self.running.pop(name).wait(STOP_SECONDS)

    def stop(self) -> None:
        """Have all roles end, the store last."""
        for name in sorted(self.running, key=lambda name: name == STORE):
            self.signal(name, signal.SIGCONT)
            self.signal(name, signal.SIGTERM)
            self.await_end(name)

    def await_log(self, name: str, text: str) -> None:
        """Wait until a role has logged this text; the test's time limit ends it otherwise."""
        while text not in self._log(name).read_text():
            time.sleep(POLL_SECONDS)

    def logs(self) -> dict[str, str]:
        """Return what each role logged in all its lives."""
        return {path.stem: path.read_text() for path in sorted(self.data_dir.glob("*.log"))}

    def _log(self, name: str) -> Path:
        return self.data_dir / f"{name}.log"

    def _command(self, name: str) -> Sequence[str]:
        if name == STORE:
            own = self.store_command
            return embedded_store.command(self.data_dir) if own is None else own()
        if name.startswith(CONTROLLER):
            return command(CONTROLLER)
        return command(name.partition("-")[0])

    def _environment(self, name: str) -> dict[str, str]:
        return {
            **WITHOUT_SETTINGS,
            "TIDEGATE_DATA_DIR": str(self.data_dir),
            "TIDEGATE_REDIS_URL": self.redis_urls.get(name, embedded_store.url(self.data_dir)),
            "TIDEGATE_LISTEN": self.address,
            "TIDEGATE_LOG_FORMAT": "json",
            **self.settings,
        }


@contextmanager
def running_roles(roles: Roles, *names: str) -> Iterator[Roles]:
    """Start roles, wait for the server, and end them after the block, whatever they said."""
    try:
        roles.start(*names)
        roles.wait_ready()
        yield roles
        roles.stop()
    finally:
        for process in roles.running.values():
            process.kill()
            process.wait()
        for path in sorted(roles.data_dir.glob("*.log")):
            print(f"--- the end of {path}\n{log_tail(path)}")  # noqa: T201 - shown on failure
    for name, said in roles.logs().items():
        for word in FATAL:
            assert word not in said, f"{name} logged {word}"
