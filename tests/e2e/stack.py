"""A whole Tidegate, started as a user starts it, for tests."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tidegate.v1 import flag_pb2, flag_service_pb2, flag_service_pb2_grpc

START_SECONDS = 60


@dataclass(frozen=True)
class Stack:
    """A running `tidegate up`: its address, its data and its process."""

    address: str
    data_dir: Path
    process: subprocess.Popen[str]

    def pid(self, role: str) -> int:
        """Return the process id of a role, as the supervisor wrote it."""
        pid = json.loads((self.data_dir / "roles.json").read_text())[role]["pid"]
        assert isinstance(pid, int)
        return pid

    def kill(self, role: str) -> None:
        """End a role without warning."""
        os.kill(self.pid(role), signal.SIGKILL)

    def cli(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command `tidegate` against this stack."""
        done = tidegate(*words, env={"TIDEGATE_SERVER": self.address})
        assert (done.returncode == 0) is ok, f"{words}: {done.stdout}\n{done.stderr}"
        return done

    def apply_flag(self, key: str, **shares: int) -> flag_pb2.Flag:
        """Create a flag whose variants have these shares in percent; the first is the default."""
        flag = flag_pb2.Flag(
            key=key,
            variants=[flag_pb2.Variant(key=name) for name in shares],
            default_variant=next(iter(shares)),
            split=split_messages(shares),
        )
        with grpc.insecure_channel(self.address) as channel:
            stub = flag_service_pb2_grpc.FlagServiceStub(channel)
            return stub.CreateFlag(flag_service_pb2.CreateFlagRequest(flag=flag)).flag

    def split(self, key: str, **shares: int) -> flag_pb2.Flag:
        """Change a flag's split, in percent."""
        with grpc.insecure_channel(self.address) as channel:
            stub = flag_service_pb2_grpc.FlagServiceStub(channel)
            return stub.UpdateSplit(
                flag_service_pb2.UpdateSplitRequest(key=key, split=split_messages(shares))
            ).flag


def split_messages(shares: Mapping[str, int]) -> list[flag_pb2.SplitShare]:
    """Turn shares in percent into messages."""
    return [flag_pb2.SplitShare(variant=k, share_ppm=v * 10_000) for k, v in shares.items()]


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


def command(*words: str) -> Sequence[str]:
    """Return the command line of `tidegate` with these words."""
    return [sys.executable, "-m", "tidegate_server.cli", *words]


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextmanager
def running_stack(data_dir: Path) -> Iterator[Stack]:
    """Start `tidegate up`, wait until it says that it is ready, and stop it at the end."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        command("up", "--listen", address, "--data-dir", str(data_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "TIDEGATE_REDIS_URL"},
    )
    try:
        _await_ready(process)
        yield Stack(address, data_dir, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    said, deadline = "", time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not select.select([process.stdout], [], [], deadline - time.monotonic())[0]:
            break
        chunk = os.read(process.stdout.fileno(), 65_536).decode()
        said += chunk
        if re.search(r"\bready\b", said, re.IGNORECASE):
            return
        if not chunk:
            break
    raise AssertionError(f"`tidegate up` did not become ready; it said:\n{said}")
