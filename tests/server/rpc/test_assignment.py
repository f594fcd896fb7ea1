"""AssignmentService, over the wire."""

import asyncio
from typing import TypeAlias

import grpc
import pytest

from tests.e2e.calls import split_messages
from tests.server.rpc.conftest import serving
from tests.server.rpc.test_flags import create, draft
from tidegate.v1 import (
    assignment_service_pb2 as messages,
)
from tidegate.v1 import (
    assignment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
)
from tidegate_server.bootstrap.server import run_server
from tidegate_server.services import feed
from tidegate_server.settings import Settings

CHANGES = 40

SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
"""Options of a channel of its own, which takes 64 KiB that nobody reads, and not more."""

HELD_BACK = 4
"""Most messages of 60 kB on their way to a watcher that does not read."""

Stub: TypeAlias = "assignment_service_pb2_grpc.AssignmentServiceAsyncStub"
FlagStub: TypeAlias = "flag_service_pb2_grpc.FlagServiceAsyncStub"


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return assignment_service_pb2_grpc.AssignmentServiceStub(channel)


@pytest.fixture
def flags(channel: grpc.aio.Channel) -> FlagStub:
    return flag_service_pb2_grpc.FlagServiceStub(channel)


async def test_rules_look_at_attributes(stub: Stub, flags: FlagStub) -> None:
    flag = draft()
    clause = flag_pb2.Clause(attribute="team", operator=flag_pb2.OPERATOR_IN)
    clause.values.add().string_value = "platform"
    flag.rules.append(flag_pb2.Rule(name="staff", variant="v2", clauses=[clause]))
    await create(flags, flag)
    request = messages.AssignRequest(flag_key="chat-model", unit_id="user-1")
    request.attributes["team"] = "platform"
    given = (await stub.Assign(request)).assignment
    assert (given.variant, given.reason, given.rule) == ("v2", messages.REASON_RULE, "staff")
    assert (given.revision, given.phase) == (1, 1)


async def test_a_flag_that_is_not_there_is_an_answer(stub: Stub) -> None:
    request = messages.AssignRequest(flag_key="none", unit_id="user-1")
    given = (await stub.Assign(request)).assignment
    assert (given.variant, given.reason) == ("", messages.REASON_FLAG_NOT_FOUND)


async def test_many_units_are_assigned_in_one_call(stub: Stub, flags: FlagStub) -> None:
    await create(flags, draft(v1=50, v2=50))
    units = [f"user-{number}" for number in range(200)]
    answer = await stub.BatchAssign(
        messages.BatchAssignRequest(flag_key="chat-model", unit_ids=units)
    )
    for unit, index in zip(units[:20], answer.assignment_indexes, strict=False):
        one = await stub.Assign(messages.AssignRequest(flag_key="chat-model", unit_id=unit))
        assert one.assignment == answer.assignments[index]
    assert len(answer.assignment_indexes) == 200


@pytest.mark.parametrize("units", [[], ["ok", ""], ["x" * 1_001]])
async def test_units_that_cannot_be_are_refused(stub: Stub, units: list[str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.BatchAssign(messages.BatchAssignRequest(flag_key="a", unit_ids=units))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "unit_ids" in (caught.value.details() or "")


async def test_watchers_get_a_snapshot_then_changes_then_heartbeats(
    stub: Stub, flags: FlagStub
) -> None:
    await create(flags, draft("first"))
    stream = stub.WatchFlags(messages.WatchFlagsRequest())
    snapshot = (await anext(aiter(stream))).snapshot
    assert (snapshot.revision, [flag.key for flag in snapshot.flags]) == (1, ["first"])
    await create(flags, draft("second"))
    await flags.DeleteFlag(flag_service_pb2.DeleteFlagRequest(key="first"))
    heard = []
    async for message in stream:
        heard.append(message)
        if message.HasField("heartbeat") and message.heartbeat.revision == 3:
            break
    changes = [message.change for message in heard if message.HasField("change")]
    assert [(change.revision, change.flag.key, change.deleted_key) for change in changes] == [
        (2, "second", ""),
        (3, "", "first"),
    ]
    assert heard[-1].heartbeat.interval_ms == 200
    stream.cancel()


async def test_little_is_kept_for_a_watcher_that_does_not_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it missed is not queued: it is given the changes that are kept, or a snapshot."""
    monkeypatch.setattr(feed, "KEPT_CHANGES", CHANGES // 4)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_server(settings, stop))
        async with (
            grpc.aio.insecure_channel(settings.listen) as channel,
            grpc.aio.insecure_channel(settings.listen, options=SMALL_WINDOW) as slow,
        ):
            await serving(channel)
            await _leave_behind(
                assignment_service_pb2_grpc.AssignmentServiceStub(slow),
                flag_service_pb2_grpc.FlagServiceStub(channel),
            )
        stop.set()


async def _leave_behind(watcher: Stub, flags: FlagStub) -> None:
    flag = draft()
    flag.variants[0].value["prompt"] = "x" * 60_000
    await create(flags, flag)
    stream = aiter(watcher.WatchFlags(messages.WatchFlagsRequest()))
    assert (await anext(stream)).snapshot.revision == 1
    for number in range(CHANGES):
        split = split_messages({"v1": number, "v2": 100 - number})
        await flags.UpdateSplit(flag_service_pb2.UpdateSplitRequest(key=flag.key, split=split))
    heard = [await anext(stream)]
    while heard[-1].HasField("change"):
        heard.append(await anext(stream))
    *changes, last = heard
    assert last.snapshot.revision == 1 + CHANGES
    assert [each.change.revision for each in changes] == list(range(2, 2 + len(changes)))
    assert len(changes) <= HELD_BACK
