from collections.abc import Callable, Iterator

import pytest

from tests.e2e.stack import running_stack
from tidegate_server.cli.app import run

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def server_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of one real server for all tests of the command line; flags' keys keep them apart."""
    with running_stack(tmp_path_factory.mktemp("up")) as up:
        yield up.address


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command line in this process; return its exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("TIDEGATE_SERVER", raising=False)
    monkeypatch.delenv("TIDEGATE_DEBUG", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        code = run(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def tidegate(cli: Cli, server_address: str) -> Cli:
    """Run a command line against the real server."""
    return lambda *words: cli("--server", server_address, *words)
