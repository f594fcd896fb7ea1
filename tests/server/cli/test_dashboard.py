"""`tidegate dashboard`, and the dashboard of `tidegate up`."""

import json
import re
import signal
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.stack import WITHOUT_SETTINGS, command, free_port, running_stack
from tests.server.cli.conftest import Cli
from tidegate_server.cli import roles, up
from tidegate_server.cli.listening import dashboard_address, reachable
from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import Settings

VIEW, OPERATE = "view-token-0123456", "operate-token-01234"


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_up_prints_links_whose_tokens_it_keeps(tmp_path: Path) -> None:
    with running_stack(tmp_path, TIDEGATE_DASHBOARD_LISTEN="127.0.0.1:0") as stack:
        links = [stack.read_until("  pages ") for _ in range(2)]
        found = [re.search(r"(http://(\S+)/\?token=(\S+)) \((.*)\)", line) for line in links]
        assert [each and each[4] for each in found] == ["to operate", "to look"]
        kept = json.loads((tmp_path / "dashboard.json").read_text())
        assert [each and each[3] for each in found] == [kept["operate"], kept["view"]]
        assert stat.S_IMODE((tmp_path / "dashboard.json").stat().st_mode) == 0o600
        address = stack.roles()["pages"]
        assert [each and each[2] for each in found] == [address, address]
        assert status(f"http://{address}/healthz") == 200
        assert status(f"http://{address}/prod") == 401
        assert stack.roles()["dashboard"]["restarts"] == 0
        logs = "".join(each.read_text() for each in (tmp_path / "logs").iterdir())
        assert kept["view"] not in logs
        assert kept["operate"] not in logs
        said = stack.stop()
        assert said.splitlines()[0] == "dashboard: stopped", "first of all"


def test_a_role_by_itself_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        command("dashboard", "--listen", listen, "--data-dir", str(tmp_path)),
        env={**WITHOUT_SETTINGS, "TIDEGATE_SERVER": "127.0.0.1:1", "TIDEGATE_LOG_FORMAT": "json"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        try:
            started = next(line for line in process.stderr if "dashboard_started" in line)
            assert json.loads(started)["listen"] == listen
            assert status(f"http://{listen}/healthz") == 200
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
        finally:
            process.kill()
    assert process.returncode == 0, rest
    assert "dashboard_stopped" in rest
    assert "Traceback" not in rest


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            command("dashboard", "--listen", listen, "--data-dir", str(tmp_path)),
            env=WITHOUT_SETTINGS,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"TIDEGATE_DASHBOARD_LISTEN: cannot listen on {listen}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--listen", "0.0.0.0:0"), "set TIDEGATE_DASHBOARD_TOKEN"),
        (("--listen", "off"), "off; give the address to listen on"),
        (("--listen", "7071"), "is not host:port"),
    ],
)
def test_a_role_that_cannot_be_says_why(
    cli: Cli, tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    code, _, said = cli("dashboard", "--data-dir", str(tmp_path), *options)
    assert code == 1
    assert problem in said


def test_without_its_extra_it_says_how_to_get_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(roles, "find_spec", lambda _: None)
    code, _, said = cli("dashboard")
    assert (code, "pip install 'tidegate[dashboard]'" in said) == (1, True)
    settings = Settings.load(data_dir=tmp_path, redis_url="redis://h")
    assert [role.name for role in up._roles(settings)] == ["worker", "server", "controller"]
    assert list(up._pages(settings)) == [
        "  pages   not installed: pip install 'tidegate[dashboard]'"
    ]


def test_it_can_be_off(tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path, redis_url="redis://h", dashboard_listen="off")
    assert "dashboard" not in [role.name for role in up._roles(settings)]
    assert list(up._pages(settings)) == []
    assert dashboard_address(settings) == "off"


def test_its_role_is_told_the_server_and_the_tokens(tmp_path: Path) -> None:
    settings = Settings.load(
        data_dir=tmp_path,
        redis_url="redis://h",
        listen="0.0.0.0:7070",
        dashboard_token=VIEW,
        dashboard_operator_token=OPERATE,
    )
    role = up._roles(settings)[-1]
    assert role.name == "dashboard"
    assert role.environment["TIDEGATE_SERVER"] == "127.0.0.1:7070"
    assert role.environment["TIDEGATE_DASHBOARD_TOKEN"] == VIEW
    assert role.environment["TIDEGATE_DASHBOARD_OPERATOR_TOKEN"] == OPERATE
    assert VIEW not in repr(role)


def test_the_usual_port_gives_way_and_one_that_is_set_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        usual = Settings()  # nothing is set
        object.__setattr__(usual, "dashboard_listen", f"127.0.0.1:{port}")
        instead = dashboard_address(usual)
        with pytest.raises(ConfigurationError, match="TIDEGATE_DASHBOARD_LISTEN: cannot listen"):
            dashboard_address(Settings(dashboard_listen=f"127.0.0.1:{port}"))
    assert instead.startswith("127.0.0.1:")
    assert int(instead.rpartition(":")[2]) not in (0, port)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("0.0.0.0:7071", "127.0.0.1:7071"),
        ("[::]:7071", "[::1]:7071"),
        ("host:7071", "host:7071"),
        ("[fe80::1]:1", "[fe80::1]:1"),
    ],
)
def test_what_listens_everywhere_is_reached_here(listen: str, expected: str) -> None:
    assert reachable(listen) == expected
