"""A `tidegate up`, started as a user starts it, for tests."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e import calls
from tidegate.v1 import flag_pb2

WITHOUT_SETTINGS = {
    name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")
}
QUIET = {"TIDEGATE_METRICS_LISTEN": "127.0.0.1:0", "TIDEGATE_DASHBOARD_LISTEN": "off"}
"""Ports of nobody else, and no dashboard where a test does not look at it."""

END_SECONDS = 60


class Stack:
    """The process and its data; `address` is its server's, once it is ready."""

    def __init__(self, data_dir: Path, *options: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.address = ""
        self.process = subprocess.Popen(
            command("up", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0", *options),
            env={**WITHOUT_SETTINGS, **QUIET, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_ready(self) -> None:
        """Wait until it says that it is ready."""
        self.read_until("Tidegate is ready")
        self.address = self.roles()["listen"]

    def read_until(self, text: str) -> str:
        """Wait for a line with this text; return it."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"it ended without saying {text!r}:\n{''.join(lines)}")

    def roles(self) -> dict[str, Any]:
        """Return the content of roles.json."""
        content = json.loads((self.data_dir / "roles.json").read_text())
        assert isinstance(content, dict)
        return content

    def pid(self, role: str) -> int:
        """Return the process id of a role."""
        pid = self.roles()[role]["pid"]
        assert isinstance(pid, int)
        return pid

    def kill(self, role: str) -> None:
        """End a role without warning."""
        os.kill(self.pid(role), signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Send a signal and return what was printed until the end."""
        self.process.send_signal(number)
        return self.rest()

    def rest(self) -> str:
        """Return what is printed until it ends by itself, which it must soon."""
        try:
            return self.process.communicate(timeout=END_SECONDS)[0]
        finally:
            self.process.kill()

    def cli(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command `tidegate` against this stack."""
        done = tidegate(*words, env={"TIDEGATE_SERVER": self.address})
        assert (done.returncode == 0) is ok, f"{words}: {done.stdout}\n{done.stderr}"
        return done

    def apply_flag(self, key: str, **shares: int) -> flag_pb2.Flag:
        """Create a flag whose variants have these shares in percent; the first is the default."""
        return calls.apply_flag(self.address, key, **shares)

    def split(self, key: str, **shares: int) -> flag_pb2.Flag:
        """Change a flag's split, in percent."""
        return calls.split(self.address, key, **shares)


@contextmanager
def running_stack(data_dir: Path, *options: str, **environment: str) -> Iterator[Stack]:
    """Run `tidegate up`; after the block it must end well, unless it was killed."""
    stack = Stack(data_dir, *options, **environment)
    with stack.process:
        try:
            stack.wait_ready()
            yield stack
        finally:
            if stack.process.poll() is None:
                stack.stop()
    assert stack.process.returncode in (0, -signal.SIGKILL)


def tidegate(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command `tidegate` and return what it said."""
    return subprocess.run(
        command(*words),
        env={**os.environ, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def command(*words: str) -> list[str]:
    """Return the command line of `tidegate` with these words."""
    return [sys.executable, "-m", "tidegate_server.cli", *words]


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port
