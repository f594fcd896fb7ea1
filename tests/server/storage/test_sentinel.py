"""Stores behind Sentinels: what their URLs say, and that connections follow the primary."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.faults.sentinels import running_sentinels
from tests.e2e.stack import free_port
from tidegate_server.errors import ConfigurationError, StoreUnavailable
from tidegate_server.storage.client import Script, address, open_client, run
from tidegate_server.storage.sentinel import SentinelUrl

PASSWORD = "s3c:re@t"
QUOTED = "s3c%3Are%40t"
LOAD = Script.named("load_config")


def test_a_url_names_sentinels_service_and_store() -> None:
    url = f"redis+sentinel://ann:{QUOTED}@one:26380,two,[::1]:7/gate/3?sentinel_password=p%26q"
    parsed = SentinelUrl.parse(url)
    assert parsed == SentinelUrl(
        sentinels=(("one", 26_380), ("two", 26_379), ("::1", 7)),
        service="gate",
        database=3,
        username="ann",
        password=PASSWORD,
        sentinel_password="p&q",
    )
    assert PASSWORD not in repr(parsed)
    assert "p&q" not in repr(parsed)
    assert str(parsed) == "redis+sentinel://one:26380,two:26379,[::1]:7/gate/3"
    assert address(open_client(url)) == str(parsed)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://one:26379", "name the service"),
        ("redis+sentinel://one:26379/", "name the service"),
        ("redis+sentinel:///gate", "host and port"),
        ("redis+sentinel://one,,two/gate", "host and port"),
        ("redis+sentinel://one:port/gate", "'one:port' has no port"),
        ("redis+sentinel://one:70000/gate", "'one:70000' has no port"),
        ("redis+sentinel://one/gate/first", "'first', not a number"),
        ("redis+sentinel://one/gate?pasword=x", "'pasword' is not known"),
    ],
)
def test_a_url_that_says_something_else_names_the_part(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="TIDEGATE_REDIS_URL") as caught:
        open_client(url)
    assert said in str(caught.value)


async def test_sentinels_that_are_not_there_are_named() -> None:
    client = open_client(f"redis+sentinel://:{QUOTED}@127.0.0.1:{free_port()}/gate")
    with pytest.raises(StoreUnavailable) as caught:
        await run(client, LOAD, ["a", "b", "c"])
    assert address(client) in str(caught.value)
    assert "No master found for 'gate'" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    await client.aclose()


async def test_connections_follow_the_primary(tmp_path: Path) -> None:
    with running_sentinels(tmp_path, password="s3cret") as stores:
        client = open_client(stores.url)
        await client.set("key", "first")
        await client.wait(2, 1_000)
        former = stores.primary()
        stores.kill(former)
        await asyncio.to_thread(stores.await_other_primary, former)
        assert await client.get("key") == b"first"
        await client.set("key", "second")
        await client.aclose()
