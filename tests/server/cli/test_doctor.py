"""`tidegate doctor` and `tidegate rejected`, on a running stack."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.e2e.stack import Stack, running_stack
from tests.server.cli.conftest import Cli
from tests.server.storage.samples import message
from tidegate_server import embedded_store
from tidegate_server.domain.events import Shard
from tidegate_server.storage.keys import ConfigKeys, ShardKeys

KEYS = ShardKeys("prod", Shard(0))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("up")) as process:
        yield process


@pytest.fixture
def store(up: Stack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(embedded_store.url(up.data_dir)) as client:
        yield client


def test_a_good_stack_passes(cli: Cli, up: Stack, store: redis.Redis) -> None:
    deadline = time.monotonic() + 30
    while not store.zcard(ConfigKeys("prod").workers):  # the worker starts beside the server
        assert time.monotonic() < deadline
        time.sleep(0.05)
    code, output, errors = cli("doctor", "--data-dir", str(up.data_dir))
    assert (code, errors) == (0, "")
    assert "warning" not in output
    assert "1 alive for 2 shards" in output


def test_what_fails_is_named_with_its_fix(cli: Cli, up: Stack, store: redis.Redis) -> None:
    store.config_set("maxmemory-policy", "allkeys-lru")
    try:
        code, output, _ = cli("doctor", "--data-dir", str(up.data_dir), "--json")
    finally:
        store.config_set("maxmemory-policy", "noeviction")
    assert code == 1
    (failure,) = (each for each in json.loads(output) if each["level"] == "failure")
    assert failure["check"] == "eviction"
    assert "noeviction" in failure["fix"]


def test_no_store_is_an_error(cli: Cli, tmp_path: Path) -> None:
    code, _, errors = cli("doctor", "--data-dir", str(tmp_path))
    assert code == 1
    assert "does not serve" in errors


def test_a_rejected_batch_is_listed_retried_and_discarded(
    cli: Cli, up: Stack, store: redis.Redis
) -> None:
    where = ("--data-dir", str(up.data_dir))
    assert cli("rejected", "list", *where) == (0, "no batch was rejected\n", "")
    payload = message({"latency_ms": [1, 2, 3]}).SerializeToString()
    for _ in range(2):
        store.xadd(KEYS.rejected, {"o": "1-0", "e": "a defect", "b": payload})
    code, output, _ = cli("doctor", *where)
    assert code == 0
    assert "2 batches that could not be folded" in output
    _, output, _ = cli("rejected", "list", *where)
    assert "a defect" in output
    names = [word for word in output.split() if word.startswith("0/")]
    assert cli("rejected", "retry", names[0], *where)[0] == 0
    assert cli("rejected", "discard", names[1], "--yes", *where)[0] == 0
    code, _, errors = cli("rejected", "retry", names[1], *where)
    assert code == 1
    assert "there is no rejected batch" in errors
    assert store.xlen(KEYS.rejected) == 0
