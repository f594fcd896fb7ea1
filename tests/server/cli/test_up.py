"""`tidegate up` as a process: it starts, restarts, refuses and stops."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import WITHOUT_SETTINGS, Stack, command, free_port, running_stack
from tests.server.cli.conftest import Cli
from tests.server.signals.scraping import scrape_now
from tidegate_server import embedded_store
from tidegate_server.cli.listening import metrics_address
from tidegate_server.cli.up import _roles
from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import Settings

ROLES = ("store", "worker", "server")


def await_end(pid: int) -> None:
    """Wait until a process that may not be our child is gone."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([watch], [], [], 20)[0], f"process {pid} is still there"
    finally:
        os.close(watch)


def test_it_runs_restarts_and_stops_everything(tmp_path: Path, cli: Cli) -> None:
    data_dir = tmp_path / "data"
    file = tmp_path / "flag.yaml"
    file.write_text("flag: kept\ndefault: a\nvariants: {a: {}}\n")
    with running_stack(data_dir) as up:
        roles = up.roles()
        assert roles["ready"] is True
        assert roles["supervisor"] == {"pid": up.process.pid}
        assert [roles[role]["restarts"] for role in ROLES] == [0, 0, 0]
        address = roles["listen"]
        assert cli("--server", address, "flag", "apply", str(file))[0] == 0

        for role in ROLES:
            up.kill(role)
            assert "killed by SIGKILL" in up.read_until(f"{role}: ended")
            up.read_until(f"{role}: runs again as process")
            again = up.roles()[role]
            assert again["restarts"] == 1
            assert again["pid"] != roles[role]["pid"]

        last = up.roles()
        said = up.stop()
        assert said.splitlines()[-3:] == ["server: stopped", "worker: stopped", "store: stopped"]
        assert up.process.returncode == 0
    assert not (data_dir / "roles.json").exists()
    for role in ROLES:
        await_end(last[role]["pid"])

    with running_stack(data_dir) as up:
        code, out, _ = cli("--server", up.roles()["listen"], "flag", "get", "kept")
        assert (code, "kept" in out) == (0, True)
        up.stop(signal.SIGINT)
        assert up.process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_roles_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    with running_stack(tmp_path) as up:
        roles = up.roles()
        up.process.kill()
        up.process.wait()
        for role in ROLES:
            await_end(roles[role]["pid"])
    with running_stack(tmp_path) as up:
        assert up.roles()["ready"] is True


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One `tidegate up` for the tests that do it no harm."""
    with running_stack(tmp_path_factory.mktemp("up")) as up:
        yield up


def test_a_second_one_in_the_same_directory_is_refused(running: Stack) -> None:
    second = Stack(running.data_dir)
    said = second.rest()
    assert second.process.returncode == 1
    assert said == (
        "error: --data-dir (TIDEGATE_DATA_DIR): another `tidegate up` "
        f"(process {running.process.pid}) runs in {running.data_dir}: "
        "stop it, or choose another directory\n"
    )


def test_with_a_store_of_its_own_it_starts_none(running: Stack, tmp_path: Path) -> None:
    url = embedded_store.url(running.data_dir)
    with running_stack(tmp_path, TIDEGATE_REDIS_URL=url) as up:
        assert "store" not in up.roles()
        assert not (tmp_path / "valkey").exists()


def test_each_role_serves_its_metrics_and_the_store_has_none(running: Stack) -> None:
    roles = running.roles()
    assert "metrics" not in roles["store"]
    for role in ("server", "worker"):
        found = scrape_now(roles[role]["metrics"])
        assert [labels[1] for labels in found.all_of("tidegate_build_info")] == [role]


def test_metrics_can_be_off(tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path, redis_url="redis://h", metrics_listen="off")
    for role in _roles(settings):
        assert (role.metrics, role.environment["TIDEGATE_METRICS_LISTEN"]) == (None, "off")


def test_roles_have_their_ports_for_metrics_in_a_row_but_for_what_is_taken() -> None:
    first = row_of_free_ports(3)
    with socket.create_server(("127.0.0.1", first + 1)):
        assert metrics_address("server", f"127.0.0.1:{first}") == f"127.0.0.1:{first}"
        assert metrics_address("controller", f"127.0.0.1:{first}") == f"127.0.0.1:{first + 2}"
        instead = metrics_address("worker", f"127.0.0.1:{first}")
    assert instead.rpartition(":")[2] not in ("0", str(first + 1))


def row_of_free_ports(length: int) -> int:
    """Return the first of so many ports in a row that nobody listens on."""
    while True:
        first = free_port()
        try:
            for port in range(first, first + length):
                socket.create_server(("127.0.0.1", port)).close()
        except (OSError, OverflowError):
            continue
        return first


@pytest.mark.parametrize(("role", "listen"), [("worker", "127.0.0.1:65535"), ("new", None)])
def test_a_role_without_a_port_in_the_row_has_any(role: str, listen: str | None) -> None:
    assert 0 < int(metrics_address(role, listen).rpartition(":")[2]) < 65_535


def test_metrics_at_an_address_of_another_machine_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"TIDEGATE_METRICS_LISTEN: cannot listen on 1\.1"):
        metrics_address("server", "1.1.1.1:9464")


def test_the_embedded_store_syncs_as_the_setting_says(tmp_path: Path) -> None:
    store, *_ = _roles(Settings.load(data_dir=tmp_path, fsync="everysec"))
    assert store.command[store.command.index("--appendfsync") + 1] == "everysec"


@pytest.mark.parametrize("role", ["server", "worker"])
def test_a_single_role_uses_the_store_of_a_running_stack(running: Stack, role: str) -> None:
    environment = {**WITHOUT_SETTINGS, "TIDEGATE_DATA_DIR": str(running.data_dir)}
    environment |= {"TIDEGATE_LISTEN": "127.0.0.1:0", "TIDEGATE_LOG_FORMAT": "json"}
    process = subprocess.Popen(command(role), env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == f"{role}_started"
        process.terminate()
        assert f"{role}_stopped" in process.communicate(timeout=30)[1]
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        up = Stack(tmp_path, "--listen", address)
        said = up.rest()
    assert up.process.returncode == 1
    assert said == (
        f"error: --listen (TIDEGATE_LISTEN): cannot listen on {address}: another program listens "
        "there; choose another HOST:PORT (port 0 takes any free one)\n"
    )


def test_a_role_that_does_not_start_ends_it_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "valkey" / "appendonlydir").mkdir(parents=True)
    manifest = tmp_path / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("not a manifest\n")
    up = Stack(tmp_path)
    said = up.rest()
    assert up.process.returncode == 1
    assert "error: the store ended 3 times before it answered (exit code 1); the end of" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("role", ["server", "worker"])
def test_a_single_role_without_a_store_says_what_to_do(tmp_path: Path, role: str) -> None:
    done = subprocess.run(
        command(role, "--data-dir", str(tmp_path)),
        env=WITHOUT_SETTINGS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: TIDEGATE_REDIS_URL is not set, and no embedded store runs in {tmp_path}: "
        "set it to the URL of a Redis or Valkey server, or run `tidegate up`\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--listen", "7070"], "--listen (TIDEGATE_LISTEN): '7070' is not host:port; expected"),
        (
            ["--listen", "1.1.1:0"],
            "--listen (TIDEGATE_LISTEN): cannot listen on 1.1.1:0: Cannot assign",
        ),
        (["--environment", "A B"], "--environment (TIDEGATE_ENVIRONMENT): 'A B' has characters"),
        (
            ["--data-dir", "/dev/null/x"],
            "--data-dir (TIDEGATE_DATA_DIR): /dev/null/x cannot be made",
        ),
    ],
)
def test_wrong_options_are_refused(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("up", *options)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")
