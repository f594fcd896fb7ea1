"""FlagService, over the wire."""

import asyncio
from typing import TypeAlias

import grpc
import pytest

from tests.e2e.calls import split_messages
from tidegate.v1 import flag_pb2, flag_service_pb2_grpc
from tidegate.v1 import flag_service_pb2 as messages

Stub: TypeAlias = "flag_service_pb2_grpc.FlagServiceAsyncStub"


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return flag_service_pb2_grpc.FlagServiceStub(channel)


def draft(key: str = "chat-model", **shares: int) -> flag_pb2.Flag:
    shares = shares or {"v1": 95, "v2": 5}
    return flag_pb2.Flag(
        key=key,
        variants=[flag_pb2.Variant(key=name) for name in shares],
        default_variant=next(iter(shares)),
        split=split_messages(shares),
    )


async def create(stub: Stub, flag: flag_pb2.Flag) -> flag_pb2.Flag:
    return (await stub.CreateFlag(messages.CreateFlagRequest(flag=flag))).flag


async def test_a_flag_lives_from_create_to_delete(stub: Stub) -> None:
    created = await create(stub, draft())
    assert (created.revision, created.phase, created.salt) == (1, 1, "chat-model")
    assert list(created.allocation.variants) == ["v1", "v2"]
    assert created.HasField("create_time")

    got = (await stub.GetFlag(messages.GetFlagRequest(key="chat-model"))).flag
    assert got == created

    got.description = "better words"
    updated = (await stub.UpdateFlag(messages.UpdateFlagRequest(flag=got))).flag
    assert (updated.revision, updated.phase) == (2, 1)

    split = split_messages({"v1": 75, "v2": 25})
    preview = await stub.PreviewSplit(messages.PreviewSplitRequest(key="chat-model", split=split))
    assert preview.moved_ppm == 200_000
    changed = await stub.UpdateSplit(messages.UpdateSplitRequest(key="chat-model", split=split))
    assert (changed.flag.revision, changed.flag.phase) == (3, 3)
    assert list(changed.moves) == list(preview.moves)

    deleted = await stub.DeleteFlag(messages.DeleteFlagRequest(key="chat-model"))
    assert deleted.revision == 4
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetFlag(messages.GetFlagRequest(key="chat-model"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_flags_are_listed_by_key_in_pages(stub: Stub) -> None:
    for key in ("c", "a", "b"):
        await create(stub, draft(key))
    first = await stub.ListFlags(messages.ListFlagsRequest(page_size=2))
    assert [flag.key for flag in first.flags] == ["a", "b"]
    second = await stub.ListFlags(
        messages.ListFlagsRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [flag.key for flag in second.flags] == ["c"]
    assert not second.next_page_token
    assert second.revision == 3


@pytest.mark.parametrize(
    ("flag", "revision", "code", "words"),
    [
        (draft("Not Valid"), 0, grpc.StatusCode.INVALID_ARGUMENT, "key:"),
        (draft(v1=95, v2=4), 0, grpc.StatusCode.INVALID_ARGUMENT, "add 1 %"),
        (draft("taken"), 0, grpc.StatusCode.ALREADY_EXISTS, "taken"),
    ],
    ids=["name", "sum", "exists"],
)
async def test_what_is_wrong_is_named(
    stub: Stub, flag: flag_pb2.Flag, revision: int, code: grpc.StatusCode, words: str
) -> None:
    await create(stub, draft("taken"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(stub, flag)
    assert caught.value.code() is code
    assert words in (caught.value.details() or "")


async def test_an_update_from_an_old_revision_changes_nothing(stub: Stub) -> None:
    flag = await create(stub, draft())
    await stub.UpdateFlag(messages.UpdateFlagRequest(flag=flag))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpdateFlag(messages.UpdateFlagRequest(flag=flag))
    assert caught.value.code() is grpc.StatusCode.ABORTED
    listed = await stub.ListFlags(messages.ListFlagsRequest())
    assert listed.revision == 2


async def test_changes_at_the_same_time_are_all_made(stub: Stub) -> None:
    await asyncio.gather(*(create(stub, draft(f"flag-{number}")) for number in range(20)))
    listed = await stub.ListFlags(messages.ListFlagsRequest())
    assert len(listed.flags) == 20
    assert sorted(flag.revision for flag in listed.flags) == list(range(1, 21))


async def test_a_deleted_flag_made_again_begins_a_new_phase(stub: Stub) -> None:
    await create(stub, draft())
    await stub.DeleteFlag(messages.DeleteFlagRequest(key="chat-model"))
    assert (await create(stub, draft())).phase == 3
