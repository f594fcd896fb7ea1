import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.e2e.stack import free_port
from tidegate.replicas import ModelProcess
from tidegate.replicas.model_process import ModelNotLoaded

SERVER = """
import http.server, json, os, signal, sys
value = json.loads(os.environ["TIDEGATE_VALUE"])
if value.get("exit"):
    sys.exit(value["exit"])
if value.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.environ['TIDEGATE_VARIANT']} {value['name']}".encode())
    def log_message(self, *_):
        pass
if not value.get("mute"):
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
signal.pause()
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def process(port: int) -> Iterator[ModelProcess]:
    command = [sys.executable, "-c", SERVER, str(port)]
    process = ModelProcess(command, f"127.0.0.1:{port}", start_timeout=20, stop_timeout=0.2)
    yield process
    process.close()


def answer(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}", timeout=10) as response:
        text: bytes = response.read()
    return text.decode()


def test_a_version_is_served_after_another(process: ModelProcess, port: int) -> None:
    assert process.pid is None
    assert not process.healthy
    process.load("v1", {"name": "small"})
    assert answer(port) == "v1 small"
    first = process.pid
    assert process.healthy
    process.load("v2", {"name": "large", "stubborn": True})
    assert answer(port) == "v2 large"
    assert process.pid not in (None, first)
    process.unload("v2")  # it is killed, for it does not end by itself
    assert process.pid is None
    process.close()


def test_a_process_that_ends_is_not_healthy(process: ModelProcess) -> None:
    process.load("v1", {"name": "small"})
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    for _ in range(1_000):
        if not process.healthy:
            break
    assert process.pid is None


def test_what_does_not_start_is_told(process: ModelProcess, port: int) -> None:
    with pytest.raises(ModelNotLoaded, match="ended with exit code 3"):
        process.load("v1", {"name": "small", "exit": 3})
    address = f"127.0.0.1:{port}"
    hasty = ModelProcess([sys.executable, "-c", SERVER, str(port)], address, start_timeout=0.3)
    with pytest.raises(ModelNotLoaded, match=r"nothing answered at .* within 0\.3 s"):
        hasty.load("v1", {"mute": True})
    assert hasty.pid is None
    with pytest.raises(ModelNotLoaded, match="no-such-program can't be started"):
        ModelProcess(["no-such-program"], address).load("v1", {})


def test_what_another_process_serves_is_not_taken_for_its_own(
    process: ModelProcess, port: int
) -> None:
    """Such as one that an agent left behind which was killed: it serves the former version."""
    left = ModelProcess([sys.executable, "-c", SERVER, str(port)], f"127.0.0.1:{port}")
    left.load("v1", {"name": "small"})
    with pytest.raises(ModelNotLoaded, match=rf"something answers at 127.0.0.1:{port} already"):
        process.load("v2", {"name": "large"})
    assert process.pid is None
    left.close()
    process.load("v2", {"name": "large"})
    assert answer(port) == "v2 large"


def test_what_ended_is_not_taken_for_loaded_though_something_answers(port: int) -> None:
    began: list[int] = []

    def answers() -> bool:
        if brief.pid is not None:
            began.append(brief.pid)
        return bool(began) and brief.pid is None

    command = ["/bin/sh", "-c", "sleep 0.2; exit 7"]
    brief = ModelProcess(command, f"127.0.0.1:{port}", answers=answers)
    with pytest.raises(ModelNotLoaded, match="ended with exit code 7"):
        brief.load("v1", {})


def test_none_runs_where_it_cannot_be_told_whether_it_answers(port: int) -> None:
    asked: list[int | None] = []

    def answers() -> bool:
        asked.append(mute.pid)
        if mute.pid is not None:
            raise ZeroDivisionError
        return False

    mute = ModelProcess(["/bin/sleep", "30"], f"127.0.0.1:{port}", answers=answers)
    with pytest.raises(ZeroDivisionError):
        mute.load("v1", {})
    assert mute.pid is None
    assert asked[-1] is not None


def test_its_environment_can_be_given(tmp_path: Path, port: int) -> None:
    said = tmp_path / "said"
    env = {"PATH": os.environ["PATH"], "MINE": "yes"}
    process = ModelProcess(
        ["/bin/sh", "-c", f"echo $MINE $TIDEGATE_VARIANT > {said}; exec sleep 20"],
        f"127.0.0.1:{port}",
        env=env,
        answers=lambda: said.exists() and said.read_text() == "yes v1\n",
    )
    process.load("v1", {})
    assert process.healthy
    process.close()
