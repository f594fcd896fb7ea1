"""What flags are to each other: prerequisites and layers, over the wire."""

from typing import TypeAlias

import grpc
import pytest

from tests.e2e.calls import split_messages
from tests.server.rpc.test_flags import create, draft
from tidegate.v1 import (
    assignment_service_pb2,
    assignment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2_grpc,
)
from tidegate.v1 import flag_service_pb2 as messages

Stub: TypeAlias = "flag_service_pb2_grpc.FlagServiceAsyncStub"


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return flag_service_pb2_grpc.FlagServiceStub(channel)


def asking(key: str, other: str, variant: str = "v2") -> flag_pb2.Flag:
    flag = draft(key)
    flag.prerequisites.add(flag_key=other, variants=[variant])
    return flag


async def test_a_cycle_is_refused_and_a_prerequisite_kept(stub: Stub) -> None:
    await create(stub, draft("a"))
    await create(stub, asking("b", "a"))
    await create(stub, asking("c", "b"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpdateFlag(messages.UpdateFlagRequest(flag=asking("a", "c")))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "cycle a → c → b → a" in (caught.value.details() or "")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.DeleteFlag(messages.DeleteFlagRequest(key="a"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "prerequisite of 'b'" in (caught.value.details() or "")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpdateFlag(messages.UpdateFlagRequest(flag=draft("a", v1=100)))
    assert "'v2' is asked for by the prerequisites of flag 'b'" in (caught.value.details() or "")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (asking("b", "aa"), "prerequisites[0].flag_key: flag 'aa' is not known; did you mean 'a'?"),
        (asking("b", "a", "v3"), "prerequisites[0].variants[0]: variant 'v3' is not known"),
        (asking("b", "b"), "can't be its own prerequisite"),
    ],
    ids=["flag", "variant", "self"],
)
async def test_prerequisites_must_exist(stub: Stub, flag: flag_pb2.Flag, words: str) -> None:
    await create(stub, draft("a"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(stub, flag)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (caught.value.details() or "")


def layered(key: str, share_ppm: int) -> flag_pb2.Flag:
    flag = draft(key)
    flag.layer.CopyFrom(flag_pb2.LayerSlot(layer="chat", share_ppm=share_ppm))
    return flag


async def test_a_layer_gives_each_flag_buckets_of_its_own(
    stub: Stub, channel: grpc.aio.Channel
) -> None:
    first = await create(stub, layered("a", 600_000))
    assert list(first.layer.allocation.variants) == ["", "a"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(stub, layered("b", 500_000))
    assert "40 % is free ('a' holds 60 %)" in (caught.value.details() or "")
    second = await create(stub, layered("b", 400_000))
    assert list(second.layer.allocation.variants) == ["b", ""]
    shrunk = (await stub.UpdateFlag(messages.UpdateFlagRequest(flag=layered("a", 100_000)))).flag
    assert (shrunk.phase, shrunk.revision) == (3, 3)
    unmoved = (await stub.GetFlag(messages.GetFlagRequest(key="b"))).flag
    assert unmoved == second

    assigning = assignment_service_pb2_grpc.AssignmentServiceStub(channel)
    outside = {}
    for key in ("a", "b"):
        answer = await assigning.BatchAssign(
            assignment_service_pb2.BatchAssignRequest(
                flag_key=key, unit_ids=[f"user-{number}" for number in range(2_000)]
            )
        )
        reasons = [answer.assignments[index].reason for index in answer.assignment_indexes]
        outside[key] = [each == assignment_service_pb2.REASON_LAYER for each in reasons]
    assert all(a or b for a, b in zip(outside["a"], outside["b"], strict=True))
    assert 120 < outside["a"].count(False) < 280
    assert 700 < outside["b"].count(False) < 900


async def test_a_rules_own_split_is_allocated_by_the_server(stub: Stub) -> None:
    flag = draft()
    clause = flag_pb2.Clause(attribute="team", operator=flag_pb2.OPERATOR_EXISTS)
    rule = flag.rules.add(name="staff", clauses=[clause])
    rule.split.shares.extend(split_messages({"v1": 50, "v2": 50}))
    rule.split.allocation.starts.append(0)
    rule.split.allocation.variants.append("v2")
    stored = await create(stub, flag)
    assert list(stored.rules[0].split.allocation.variants) == ["v1", "v2"]
    assert list(stored.rules[0].split.allocation.starts) == [0, 1 << 31]
    stored.rules[0].split.shares[0].share_ppm += 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpdateFlag(messages.UpdateFlagRequest(flag=stored))
    assert "rules[0].split.shares: the shares add up to 100.0001 %" in (
        caught.value.details() or ""
    )


async def test_the_kill_switch_stays_in_the_phase(stub: Stub, channel: grpc.aio.Channel) -> None:
    flag = await create(stub, draft(v1=0, v2=100))
    flag.killed = True
    killed = (await stub.UpdateFlag(messages.UpdateFlagRequest(flag=flag))).flag
    assert (killed.killed, killed.phase, killed.revision) == (True, 1, 2)
    assigning = assignment_service_pb2_grpc.AssignmentServiceStub(channel)
    request = assignment_service_pb2.AssignRequest(flag_key="chat-model", unit_id="anna")
    given = (await assigning.Assign(request)).assignment
    assert (given.variant, given.reason) == ("v1", assignment_service_pb2.REASON_KILLED)
