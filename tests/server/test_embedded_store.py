"""Where the store's socket is; that the store keeps its data is in test_supervisor.py."""

import sys
from pathlib import Path

import pytest

from tidegate_server import embedded_store
from tidegate_server.errors import ConfigurationError


def test_a_short_path_is_used_as_it_is(tmp_path: Path) -> None:
    assert embedded_store.socket_path(tmp_path) == tmp_path / "valkey.sock"
    assert embedded_store.url(tmp_path) == f"unix://{tmp_path}/valkey.sock"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_a_deep_directory_is_reached_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.chdir(deep)
    path = embedded_store.socket_path(Path(".tidegate"))
    assert path == Path("/proc/self/cwd/.tidegate/valkey.sock")
    assert not await embedded_store.answers(path)


def test_a_path_that_fits_no_socket_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="is longer than the 103 bytes"):
        embedded_store.socket_path(tmp_path / ("d" * 120))
