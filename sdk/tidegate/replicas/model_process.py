"""A model server that is a process of its own, and changes its version by starting anew."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from tidegate.errors import TidegateError


class ModelNotLoaded(TidegateError):  # noqa: N818 - a state, as the other errors
    """A model server could not be started; the message says why."""


class ModelProcess:
    """Starts, stops and starts anew the process that serves a model, for an `Agent`.

    The command is run with TIDEGATE_VARIANT (the variant's key) and TIDEGATE_VALUE (its value, as
    JSON) in its environment; it must listen at `address` once the model is loaded. `load`, `unload`
    and `close` belong to one thread at a time.
    """

    def __init__(
        self,
        command: Sequence[str],
        address: str,
        *,
        answers: Callable[[], bool] | None = None,
        start_timeout: float = 600.0,
        stop_timeout: float = 10.0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            command: of the model server: a program and its arguments.
            address: host:port at which it listens.
            answers: whether the model is loaded; without, whether something listens at the address.
            start_timeout: seconds until it must answer.
            stop_timeout: seconds it has to end after SIGTERM, before it is killed.
            env: its environment; without, that of this process.
        """
        self._command = list(command)
        self._address = address
        self._answers = answers or self._listens
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._env = os.environ if env is None else env
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = threading.Event()

    @property
    def pid(self) -> int | None:
        """Id of the process; None: there is none that runs."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    @property
    def healthy(self) -> bool:
        """Whether the process runs and answers."""
        return self.pid is not None and self._answers()

    def load(self, variant: str, value: Mapping[str, Any]) -> None:
        """Start the process with a version, after the one that runs has ended.

        Raises:
            ModelNotLoaded: it ended, or did not answer in time; then none runs. Or another process
                answers at the address, such as one that was left behind: it is not taken for ours.
        """
        self.unload(variant)
        if self._answers():
            raise ModelNotLoaded(
                f"something answers at {self._address} already, before {self._command[0]} was "
                "started: end it"
            )
        env = {**self._env, "TIDEGATE_VARIANT": variant, "TIDEGATE_VALUE": json.dumps(value)}
        try:
            self._process = subprocess.Popen(self._command, env=env)
        except OSError as error:
            raise ModelNotLoaded(f"{self._command[0]} can't be started: {error}") from error
        try:
            self._wait_answer(self._process)
        except BaseException:
            self.close()
            raise

    def unload(self, variant: str = "") -> None:
        """End the process, whichever variant it serves."""
        self.close()

    def close(self) -> None:
        """End the process, if one runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self._stop_timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = monotonic() + self._start_timeout
        while True:
            answers, code = self._answers(), process.poll()
            if code is not None:  # whatever answers is not it
                raise ModelNotLoaded(f"the model server ended with exit code {code}")
            if answers:
                return
            if monotonic() > deadline:
                raise ModelNotLoaded(
                    f"nothing answered at {self._address} within {self._start_timeout:g} s"
                )
            self._pause.wait(0.05)

    def _listens(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=1.0):
                return True
        except OSError:
            return False
