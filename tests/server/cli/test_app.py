import subprocess
import sys

import pytest

from tests.server.cli.conftest import Cli
from tidegate_server.cli import app
from tidegate_server.cli.options import FlagKeyArgument


def test_the_version_is_printed(cli: Cli) -> None:
    code, out, _ = cli("--version")
    assert code == 0
    assert out.startswith("tidegate 0.")


def test_help_names_the_commands(cli: Cli) -> None:
    code, out, _ = cli("--help")
    assert code == 0
    for command in (
        "up",
        "server",
        "worker",
        "flag",
        "segment",
        "holdout",
        "explain",
        "report",
        "demo",
    ):
        assert command in out


def test_what_takes_long_to_load_waits_for_the_command_that_needs_it() -> None:
    program = "import sys, tidegate_server.cli.app; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert {"numpy", "scipy", "redis", "tidegate_server.bootstrap"}.isdisjoint(loaded)


def test_the_statistics_that_servers_need_are_those_that_load_fast() -> None:
    program = "import sys, tidegate_server.bootstrap.server; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert {"scipy.stats", "scipy.optimize"}.isdisjoint(loaded)


def test_an_unknown_command_is_a_usage_error(cli: Cli) -> None:
    code, _, err = cli("flga")
    assert code == 2
    assert "No such command 'flga'" in err


def test_no_server_is_one_clear_line(cli: Cli) -> None:
    assert cli("--server", "127.0.0.1:1", "flag", "list") == (
        1,
        "",
        (
            "error: cannot reach a Tidegate server at 127.0.0.1:1: is `tidegate up` running? "
            "Give another address with --server HOST:PORT or TIDEGATE_SERVER\n"
        ),
    )


def test_the_server_can_be_set_in_the_environment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_SERVER", "nowhere")
    assert cli("report", "f") == (
        1,
        "",
        (
            "error: --server (TIDEGATE_SERVER): 'nowhere' is not host:port; "
            "give the server's host:port, such as localhost:7070\n"
        ),
    )


def test_a_traceback_is_shown_only_when_asked_for(cli: Cli) -> None:
    _, _, err = cli("--debug", "--server", "127.0.0.1:1", "flag", "list")
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: cannot reach")


@pytest.fixture
def _broken_command(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [*app.app.registered_commands]
    monkeypatch.setattr(app.app, "registered_commands", commands)
    app.app.command("break")(_break)
    app.app.command("interrupt")(_interrupt)


def _break(key: FlagKeyArgument) -> None:
    raise LookupError(key)


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("_broken_command")
def test_what_nobody_thought_of_is_still_one_line(cli: Cli) -> None:
    assert cli("break", "x") == (
        1,
        "",
        "error: unexpected LookupError: x; run it again with --debug for the traceback\n",
    )


@pytest.mark.usefixtures("_broken_command")
def test_an_interrupt_has_its_exit_code(cli: Cli) -> None:
    code, _, err = cli("interrupt")
    assert code == 130
    assert "Traceback" not in err
