"""SegmentService, over the wire."""

from typing import TypeAlias

import grpc
import pytest

from tests.server.rpc.test_flags import create, draft
from tidegate.v1 import (
    assignment_service_pb2,
    assignment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
    segment_pb2,
    segment_service_pb2_grpc,
)
from tidegate.v1 import segment_service_pb2 as messages

Stub: TypeAlias = "segment_service_pb2_grpc.SegmentServiceAsyncStub"
FlagStub: TypeAlias = "flag_service_pb2_grpc.FlagServiceAsyncStub"


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return segment_service_pb2_grpc.SegmentServiceStub(channel)


@pytest.fixture
def flags(channel: grpc.aio.Channel) -> FlagStub:
    return flag_service_pb2_grpc.FlagServiceStub(channel)


def segment(key: str = "testers", *units: str) -> segment_pb2.Segment:
    return segment_pb2.Segment(key=key, included_unit_ids=units)


def in_segment(key: str, variant: str = "v2") -> flag_pb2.Rule:
    clause = flag_pb2.Clause(operator=flag_pb2.OPERATOR_IN_SEGMENT)
    clause.values.add().string_value = key
    return flag_pb2.Rule(name=f"in {key}", variant=variant, clauses=[clause])


async def make(stub: Stub, wanted: segment_pb2.Segment) -> segment_pb2.Segment:
    return (await stub.CreateSegment(messages.CreateSegmentRequest(segment=wanted))).segment


async def test_a_segment_lives_from_create_to_delete(stub: Stub) -> None:
    created = await make(stub, segment("testers", "anna"))
    assert created.revision == 1
    assert created.HasField("create_time")
    got = (await stub.GetSegment(messages.GetSegmentRequest(key="testers"))).segment
    assert got == created

    got.included_unit_ids.append("bert")
    updated = (await stub.UpdateSegment(messages.UpdateSegmentRequest(segment=got))).segment
    assert (updated.revision, list(updated.included_unit_ids)) == (2, ["anna", "bert"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpdateSegment(messages.UpdateSegmentRequest(segment=got))
    assert caught.value.code() is grpc.StatusCode.ABORTED

    request = messages.DeleteSegmentRequest(key="testers", revision=2)
    assert (await stub.DeleteSegment(request)).revision == 3
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetSegment(messages.GetSegmentRequest(key="testers"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_segments_are_listed_by_key_in_pages(stub: Stub) -> None:
    for key in ("c", "a", "b"):
        await make(stub, segment(key))
    first = await stub.ListSegments(messages.ListSegmentsRequest(page_size=2))
    assert [each.key for each in first.segments] == ["a", "b"]
    request = messages.ListSegmentsRequest(page_size=2, page_token=first.next_page_token)
    second = await stub.ListSegments(request)
    assert ([each.key for each in second.segments], second.next_page_token) == (["c"], "")


@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        (segment("Not Valid"), grpc.StatusCode.INVALID_ARGUMENT, "key:"),
        (segment("a", ""), grpc.StatusCode.INVALID_ARGUMENT, "included_unit_ids:"),
        (segment("taken"), grpc.StatusCode.ALREADY_EXISTS, "segment 'taken' exists"),
    ],
    ids=["name", "unit", "exists"],
)
async def test_what_is_wrong_is_named(
    stub: Stub, wanted: segment_pb2.Segment, code: grpc.StatusCode, words: str
) -> None:
    await make(stub, segment("taken"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await make(stub, wanted)
    assert caught.value.code() is code
    assert words in (caught.value.details() or "")


async def test_rules_name_segments_that_exist_and_keep_them(stub: Stub, flags: FlagStub) -> None:
    flag = draft()
    flag.rules.append(in_segment("tester"))
    await make(stub, segment("testers", "anna"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(flags, flag)
    assert "did you mean 'testers'?" in (caught.value.details() or "")

    flag.rules[0].clauses[0].values[0].string_value = "testers"
    await create(flags, flag)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.DeleteSegment(messages.DeleteSegmentRequest(key="testers"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "named by the rules of 'chat-model'" in (caught.value.details() or "")

    await flags.DeleteFlag(flag_service_pb2.DeleteFlagRequest(key="chat-model"))
    assert (await stub.DeleteSegment(messages.DeleteSegmentRequest(key="testers"))).revision == 4


async def test_the_holdout_is_set_and_reaches_watchers(
    stub: Stub, channel: grpc.aio.Channel
) -> None:
    assert (await stub.GetHoldout(messages.GetHoldoutRequest())).share_ppm == 0
    watching = assignment_service_pb2_grpc.AssignmentServiceStub(channel)
    stream = watching.WatchFlags(assignment_service_pb2.WatchFlagsRequest())
    assert (await anext(aiter(stream))).snapshot.holdout_ppm == 0
    changed = await stub.UpdateHoldout(messages.UpdateHoldoutRequest(share_ppm=50_000))
    assert (changed.share_ppm, changed.revision) == (50_000, 1)
    assert (await stub.GetHoldout(messages.GetHoldoutRequest())).share_ppm == 50_000
    async for message in stream:
        if message.HasField("change"):
            assert message.change.holdout_ppm == 50_000
            break
    stream.cancel()


@pytest.mark.parametrize("share_ppm", [-1, 1_000_001])
async def test_a_holdout_out_of_range_is_refused(stub: Stub, share_ppm: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpdateHoldout(messages.UpdateHoldoutRequest(share_ppm=share_ppm))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "share_ppm" in (caught.value.details() or "")
