"""A server that is stopped right after a client left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import command, free_port, running_stack

GRACE_SECONDS = 60

CLIENT = """
import sys
import grpc  # before the SDK: a gRPC that polls only while a call waits
import tidegate

client = tidegate.Client(sys.argv[1])
assert client.wait_ready(20)
client.close()
print("closed", flush=True)
sys.stdin.read()  # the process lives on
"""


def test_a_client_that_closed_its_channel_does_not_hold_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRPC_EXPERIMENTS", raising=False)
    address = f"127.0.0.1:{free_port()}"
    environment = {**os.environ, "TIDEGATE_GRACE_SECONDS": str(GRACE_SECONDS)}
    with running_stack(tmp_path) as stack:
        listen = ["--listen", address, "--data-dir", str(stack.data_dir)]
        server = subprocess.Popen(command("server", *listen), env=environment)
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "closed\n"
            server.send_signal(signal.SIGTERM)
            assert server.wait(GRACE_SECONDS / 20) == 0
        finally:
            server.kill()
            client.communicate()
