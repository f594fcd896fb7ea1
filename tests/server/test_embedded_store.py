"""Where the store's socket is, and how it is set up; that it keeps its data: test_supervisor.py."""

import asyncio
import sys
from pathlib import Path

import pytest

from tidegate_server import embedded_store
from tidegate_server.errors import ConfigurationError
from tidegate_server.settings import Fsync
from tidegate_server.storage.client import open_client


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


@pytest.mark.parametrize("fsync", [None, *Fsync])
async def test_the_store_syncs_as_it_is_told(tmp_path: Path, fsync: Fsync | None) -> None:
    embedded_store.prepare(tmp_path)
    arguments = (tmp_path,) if fsync is None else (tmp_path, fsync)
    process = await asyncio.create_subprocess_exec(
        *embedded_store.command(*arguments), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            await embedded_store.wait_ready(embedded_store.socket_path(tmp_path))
        client = open_client(embedded_store.url(tmp_path))
        wanted = {
            "appendonly": "yes",
            "appendfsync": fsync or "always",
            "maxmemory-policy": "noeviction",
        }
        assert await client.config_get(*wanted) == wanted
        await client.aclose()
    finally:
        process.terminate()
        await process.wait()
