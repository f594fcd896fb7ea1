"""ListFlagRevisions and ListWatchers, over the wire."""

import asyncio
import os
from typing import TypeAlias

import grpc
import pytest
from redis.asyncio import Redis

from tests.e2e.calls import split_messages
from tests.server.rpc.test_flags import create, draft
from tidegate.v1 import (
    assignment_service_pb2,
    assignment_service_pb2_grpc,
    flag_service_pb2_grpc,
)
from tidegate.v1 import flag_service_pb2 as messages
from tidegate_server.settings import Settings
from tidegate_server.storage.keys import ConfigKeys

Stub: TypeAlias = "flag_service_pb2_grpc.FlagServiceAsyncStub"
AssignmentStub: TypeAlias = "assignment_service_pb2_grpc.AssignmentServiceAsyncStub"


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return flag_service_pb2_grpc.FlagServiceStub(channel)


@pytest.fixture
def assignments(channel: grpc.aio.Channel) -> AssignmentStub:
    return assignment_service_pb2_grpc.AssignmentServiceStub(channel)


async def split(stub: Stub, **shares: int) -> None:
    await stub.UpdateSplit(
        messages.UpdateSplitRequest(key="chat-model", split=split_messages(shares))
    )


async def pages(stub: Stub, page_size: int) -> list[list[messages.FlagRevision]]:
    found, token = [], ""
    while True:
        answer = await stub.ListFlagRevisions(
            messages.ListFlagRevisionsRequest(
                key="chat-model", page_size=page_size, page_token=token
            )
        )
        found.append(list(answer.revisions))
        token = answer.next_page_token
        if not token:
            return found


def told(revisions: list[messages.FlagRevision]) -> list[tuple[int, int | None]]:
    """Return each revision, and v2's share in percent."""
    return [
        (
            each.revision,
            each.flag.split[-1].share_ppm // 10_000 if each.HasField("flag") else None,
        )
        for each in revisions
    ]


@pytest.mark.parametrize("page_size", [1, 2, 3, 100])
@pytest.mark.parametrize("kept_from", [1, 3])
async def test_a_flags_revisions_are_listed_in_pages(
    stub: Stub, client: Redis, settings: Settings, page_size: int, kept_from: int
) -> None:
    await create(stub, draft(v1=95, v2=5))  # 1
    await create(stub, draft("other"))  # 2
    await split(stub, v1=75, v2=25)  # 3
    await stub.DeleteFlag(messages.DeleteFlagRequest(key="chat-model"))  # 4
    await create(stub, draft(v1=50, v2=50))  # 5
    await client.xtrim(
        ConfigKeys(settings.environment).changes, minid=f"{kept_from}-0", approximate=False
    )
    listed = await pages(stub, page_size)
    assert all(len(page) == page_size for page in listed[:-1])
    revisions = [each for page in listed for each in page]
    assert told(revisions) == [(5, 50), (4, None), (3, 25), (1, 5)]
    assert all(
        each.flag.revision == each.revision and each.flag.update_time.seconds
        for each in revisions
        if each.HasField("flag")
    )


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (
            messages.ListFlagRevisionsRequest(key="nothing"),
            grpc.StatusCode.NOT_FOUND,
            "'nothing' is not known",
        ),
        (
            messages.ListFlagRevisionsRequest(key="chat-model", page_size=-1),
            grpc.StatusCode.INVALID_ARGUMENT,
            "page_size: -1",
        ),
        (
            messages.ListFlagRevisionsRequest(key="chat-model", page_token="x"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "page_token: 'x'",
        ),
    ],
)
async def test_what_cannot_be_listed_is_named(
    stub: Stub, request_: messages.ListFlagRevisionsRequest, code: grpc.StatusCode, words: str
) -> None:
    await create(stub, draft())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListFlagRevisions(request_)
    assert caught.value.code() is code
    assert words in (caught.value.details() or "")


Watching: TypeAlias = tuple[int, list[tuple[str, int, int]]]


async def watching(assignments: AssignmentStub) -> Watching:
    """Return the server's revision, and its watchers."""
    answer = await assignments.ListWatchers(assignment_service_pb2.ListWatchersRequest())
    groups = [(each.client_name, each.revision, each.count) for each in answer.groups]
    return answer.revision, groups


async def until(
    assignments: AssignmentStub, wanted: tuple[int, list[tuple[str, int, int]]]
) -> None:
    async with asyncio.timeout(10):
        while await watching(assignments) != wanted:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)


async def test_watchers_are_counted_by_what_they_were_sent(
    stub: Stub, assignments: AssignmentStub, settings: Settings
) -> None:
    answer = await assignments.ListWatchers(assignment_service_pb2.ListWatchersRequest())
    assert answer.environment == settings.environment
    assert answer.process.endswith(f":{os.getpid()}")
    calls = [
        assignments.WatchFlags(assignment_service_pb2.WatchFlagsRequest(client_name=name))
        for name in ("web", "jobs", "web")
    ]
    for call in calls:
        await call.read()
    await until(assignments, (0, [("jobs", 0, 1), ("web", 0, 2)]))
    await create(stub, draft())
    for call in calls:
        await call.read()
    await until(assignments, (1, [("jobs", 1, 1), ("web", 1, 2)]))
    calls[0].cancel()
    await until(assignments, (1, [("jobs", 1, 1), ("web", 1, 1)]))
    for call in calls[1:]:
        call.cancel()
    await until(assignments, (1, []))
