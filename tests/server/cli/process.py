"""A `tidegate up` in a process of its own, for tests of the command line."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WITHOUT_SETTINGS = {
    name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")
}


class UpProcess:
    """The process, and what it prints."""

    def __init__(self, data_dir: Path, *options: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            command("up", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0", *options),
            env={**WITHOUT_SETTINGS, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

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

    def kill(self, role: str) -> None:
        """End a role at once."""
        os.kill(self.roles()[role]["pid"], signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Send a signal and return what was printed until the end."""
        self.process.send_signal(number)
        return self.rest()

    def rest(self) -> str:
        """Return what is printed until it ends by itself, which it must soon."""
        try:
            return self.process.communicate(timeout=60)[0]
        finally:
            self.process.kill()


def command(*words: str) -> list[str]:
    """Return the command line of `tidegate` with these words."""
    return [sys.executable, "-m", "tidegate_server.cli", *words]


@contextmanager
def running_up(data_dir: Path, *options: str, **environment: str) -> Iterator[UpProcess]:
    """Run `tidegate up` until it is ready, and end it after the block."""
    up = UpProcess(data_dir, *options, **environment)
    with up.process:
        try:
            up.read_until("Tidegate is ready")
            yield up
        finally:
            if up.process.poll() is None:
                up.stop()
