"""`tidegate health`."""

from tests.e2e.stack import free_port
from tests.server.cli.conftest import Cli


def test_a_server_that_serves_says_so(tidegate: Cli) -> None:
    assert tidegate("health") == (0, "serving\n", "")


def test_no_server_is_an_error(cli: Cli) -> None:
    code, _, errors = cli("--server", f"127.0.0.1:{free_port()}", "health")
    assert code == 1
    assert "cannot reach a Tidegate server" in errors
