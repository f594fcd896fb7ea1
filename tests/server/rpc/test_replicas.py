"""ReplicaService, over the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
import pytest
from redis.asyncio import Redis

from tests.server.domain.replicas.samples import replica as stored_replica
from tests.server.rpc.conftest import serving
from tests.server.rpc.test_flags import create, draft
from tests.server.storage.test_replica_store import age
from tidegate.model import VariantKey
from tidegate.structs import json_from_struct
from tidegate.v1 import flag_service_pb2_grpc, replica_service_pb2_grpc
from tidegate.v1 import replica_service_pb2 as messages
from tidegate_server.bootstrap.server import run_server
from tidegate_server.domain.replicas.replica import Order, ReplicaId, Step
from tidegate_server.ports import Fence
from tidegate_server.settings import Settings
from tidegate_server.storage.replica_store import RedisReplicaStore

Stub: TypeAlias = "replica_service_pb2_grpc.ReplicaServiceAsyncStub"
READY, LOADING = messages.REPLICA_STATE_READY, messages.REPLICA_STATE_LOADING
GONE = messages.REPLICA_STATE_GONE


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Heartbeats so quick that a test can miss some."""
    return settings.model_copy(update={"replica_heartbeat_seconds": 0.3})


@pytest.fixture
async def stub(channel: grpc.aio.Channel) -> Stub:
    """ReplicaService, beside a flag with the variants v1 and v2."""
    flags: Any = flag_service_pb2_grpc.FlagServiceStub(channel)
    flag = draft("chat-model")
    flag.variants[1].value.update({"model": "b"})
    await create(flags, flag)
    return replica_service_pb2_grpc.ReplicaServiceStub(channel)


def replica(name: str = "gpu-1", **more: Any) -> messages.Replica:
    given: dict[str, Any] = {
        "id": name,
        "flag_key": "chat-model",
        "variant": "v1",
        "address": f"{name}:8000",
        "state": READY,
    }
    return messages.Replica(**given | more)


async def register(stub: Stub, one: messages.Replica) -> messages.RegisterReplicaResponse:
    return await stub.RegisterReplica(messages.RegisterReplicaRequest(replica=one))


def beat(name: str = "gpu-1", **more: Any) -> messages.HeartbeatReplicaRequest:
    given: dict[str, Any] = {"id": name, "variant": "v1", "state": READY}
    return messages.HeartbeatReplicaRequest(**given | more)


def watching(stub: Stub, flag: str = "chat-model") -> Any:
    return stub.WatchReplicas(messages.WatchReplicasRequest(flag_key=flag))


async def listed(stub: Stub, **how: Any) -> list[messages.Replica]:
    return list((await stub.ListReplicas(messages.ListReplicasRequest(**how))).replicas)


async def test_a_replica_from_register_to_deregister(stub: Stub) -> None:
    given = replica(capacity=8, load=0.5, driver_url="http://gpu-1:9000", problem="warm")
    answer = await register(stub, given)
    assert answer.heartbeat_interval_ms == 300
    assert answer.replica.HasField("heartbeat_time")
    stored = answer.replica
    stored.ClearField("heartbeat_time")
    assert stored == given
    heard = await stub.HeartbeatReplica(beat(state=LOADING, variant="", load=0.25))
    assert (heard.replica.state, heard.replica.variant) == (LOADING, "")
    assert (heard.replica.load, heard.replica.problem) == (0.25, "")
    assert not heard.HasField("wanted_value")
    drained = await stub.DrainReplica(messages.DrainReplicaRequest(id="gpu-1"))
    assert drained.replica.drained
    back = await stub.DrainReplica(messages.DrainReplicaRequest(id="gpu-1", undo=True))
    assert not back.replica.drained
    await stub.DeregisterReplica(messages.DeregisterReplicaRequest(id="gpu-1"))
    assert await listed(stub) == []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.HeartbeatReplica(beat())
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_order_is_told_with_the_value_of_its_variant(
    stub: Stub, client: Redis, environment: str
) -> None:
    await register(stub, replica())
    store = RedisReplicaStore(client, environment)
    (one,) = (await store.load()).replicas.values()

    async def told(variant: str, step: Step) -> messages.HeartbeatReplicaResponse:
        order = Order(VariantKey(variant), step, one.heard)
        await store.order([replace(one, order=order)], Fence(0))
        answer = await stub.HeartbeatReplica(beat())
        assert answer.replica.drained
        return answer

    answer = await told("v2", Step.DRAIN)
    assert (answer.replica.wanted_variant, answer.HasField("wanted_value")) == ("", False)
    assert answer.replica.change == "drains before it loads v2"
    answer = await told("v2", Step.LOAD)
    assert (answer.replica.wanted_variant, answer.replica.change) == ("v2", "loads v2")
    assert json_from_struct(answer.wanted_value) == {"model": "b"}
    answer = await told("v9", Step.LOAD)
    assert answer.replica.wanted_variant == "v9"
    assert not answer.HasField("wanted_value")


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"id": "A"}, grpc.StatusCode.INVALID_ARGUMENT, "replica.id: 'A' is not a valid name"),
        (
            {"state": messages.REPLICA_STATE_UNSPECIFIED},
            grpc.StatusCode.INVALID_ARGUMENT,
            "replica.state: is not set: give loading, ready, draining, failed",
        ),
        ({"state": GONE}, grpc.StatusCode.INVALID_ARGUMENT, "replica.state: 5 is not known"),
        (
            {"flag_key": "chat-mode"},
            grpc.StatusCode.NOT_FOUND,
            "replica.flag_key: flag 'chat-mode' is not known; did you mean 'chat-model'?",
        ),
    ],
)
async def test_what_is_wrong_is_refused(
    stub: Stub, change: dict[str, Any], code: grpc.StatusCode, message: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await register(stub, replica(**change))
    assert caught.value.code() is code
    assert str(caught.value.details()).startswith(message)
    with pytest.raises(grpc.aio.AioRpcError, match=r"load: -1\.0 is out of range"):
        await stub.HeartbeatReplica(beat(load=-1.0))


async def test_lists_in_pages_and_by_flag(stub: Stub, channel: grpc.aio.Channel) -> None:
    flags: Any = flag_service_pb2_grpc.FlagServiceStub(channel)
    await create(flags, draft("other"))
    for index in range(5):
        await register(stub, replica(f"gpu-{index}"))
    await register(stub, replica("cpu", flag_key="other"))
    assert [each.id for each in await listed(stub, flag_key="other")] == ["cpu"]
    assert len(await listed(stub)) == 6
    seen, token = [], ""
    while True:
        request = messages.ListReplicasRequest(flag_key="chat-model", page_size=2, page_token=token)
        page = await stub.ListReplicas(request)
        seen += [each.id for each in page.replicas]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"gpu-{index}" for index in range(5)]


async def test_who_is_silent_is_gone_for_those_who_watch(stub: Stub) -> None:
    async with asyncio.timeout(20):
        watch = watching(stub)
        first = await watch.read()
        assert (list(first.replicas), first.interval_ms) == ([], 300)
        await register(stub, replica("gpu-1"))
        await register(stub, replica("gpu-2"))

        async def until(names: set[str], silent: str) -> None:
            while {each.id for each in (await watch.read()).replicas} != names:
                for name in {"gpu-1", "gpu-2"} - {silent}:
                    await stub.HeartbeatReplica(beat(name))

        await until({"gpu-1", "gpu-2"}, "")
        await until({"gpu-1"}, "gpu-2")
        assert [each.state for each in await listed(stub)] == [READY, GONE]
        await stub.HeartbeatReplica(beat("gpu-2"))
        await until({"gpu-1", "gpu-2"}, "")
        watch.cancel()


async def test_a_change_is_told_at_once_and_loads_in_time(stub: Stub) -> None:
    async with asyncio.timeout(20):
        await register(stub, replica())
        watches = [watching(stub, flag) for flag in ("chat-model", "chat-model", "nobody")]
        for watch, names in zip(watches, (["gpu-1"], ["gpu-1"], []), strict=True):
            assert [each.id for each in (await watch.read()).replicas] == names
        await stub.DrainReplica(messages.DrainReplicaRequest(id="gpu-1"))
        for watch in watches[:2]:
            while not (await watch.read()).replicas[0].drained:
                pass
        await stub.HeartbeatReplica(beat(load=3.5))
        for watch in watches[:2]:
            while (await watch.read()).replicas[0].load != 3.5:
                pass
        for watch in watches:
            watch.cancel()


async def test_the_store_is_read_only_while_somebody_watches(
    stub: Stub, client: Redis, environment: str
) -> None:
    async def reads() -> int:
        stats: Any = await client.info("commandstats")
        return int(stats.get("cmdstat_xrevrange", {}).get("calls", 0))

    async with asyncio.timeout(20):
        await register(stub, replica())
        before = await reads()
        for _ in range(4):
            await stub.HeartbeatReplica(beat())
        assert await reads() == before
        watch = watching(stub)
        await watch.read()
        assert await reads() > before
        watch.cancel()
        again = watching(stub)
        assert [each.id for each in (await again.read()).replicas] == ["gpu-1"]
        again.cancel()


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[tuple[Any, asyncio.Event]]:
    """Run a server for the block; yield a stub, and what stops it before."""
    stop = asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(run_server(settings, stop))
        async with grpc.aio.insecure_channel(settings.listen) as opened:
            await serving(opened, "tidegate.v1.ReplicaService")
            yield replica_service_pb2_grpc.ReplicaServiceStub(opened), stop
        stop.set()


async def test_a_server_that_was_away_tells_of_those_it_could_not_hear(
    settings: Settings, client: Redis, environment: str
) -> None:
    """Until they have had the time to be heard; not that there is none."""
    store = RedisReplicaStore(client, environment)
    await store.register(stored_replica("gpu-1"))
    await age(client, environment, ReplicaId("gpu-1"), timedelta(minutes=10))
    async with running_server(settings) as (stub, _):
        watch = watching(stub)
        first = list((await watch.read()).replicas)
        assert [(each.id, each.state) for each in first] == [("gpu-1", READY)]
        assert [each.state for each in await listed(stub)] == [GONE]
        while (await watch.read()).replicas:
            pass
        watch.cancel()


async def test_a_server_that_stops_ends_the_watches(settings: Settings) -> None:
    async with running_server(settings) as (stub, stop):
        watch = watching(stub)
        assert list((await watch.read()).replicas) == []
        stop.set()
        while await watch.read() is not grpc.aio.EOF:
            pass
