"""Explain, over the wire: at present and at earlier revisions."""

from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from tests.e2e.calls import split_messages
from tests.server.rpc.test_flags import create, draft
from tests.server.rpc.test_segments import in_segment, make, segment
from tidegate.v1 import assignment_service_pb2 as messages
from tidegate.v1 import (
    assignment_service_pb2_grpc,
    flag_service_pb2,
    flag_service_pb2_grpc,
    segment_service_pb2,
    segment_service_pb2_grpc,
)
from tidegate_server.settings import Settings
from tidegate_server.storage.keys import ConfigKeys


@dataclass(frozen=True)
class Stubs:
    assignments: "assignment_service_pb2_grpc.AssignmentServiceAsyncStub"
    flags: "flag_service_pb2_grpc.FlagServiceAsyncStub"
    segments: "segment_service_pb2_grpc.SegmentServiceAsyncStub"

    async def explain(
        self, unit_id: str = "anna", revision: int = 0, flag: str = "chat-model", **attributes: Any
    ) -> messages.ExplainResponse:
        request = messages.ExplainRequest(flag_key=flag, unit_id=unit_id, revision=revision)
        request.attributes.update(attributes)
        return await self.assignments.Explain(request)


@pytest.fixture
def stubs(channel: grpc.aio.Channel) -> Stubs:
    return Stubs(
        assignment_service_pb2_grpc.AssignmentServiceStub(channel),
        flag_service_pb2_grpc.FlagServiceStub(channel),
        segment_service_pb2_grpc.SegmentServiceStub(channel),
    )


def reason(answer: messages.ExplainResponse) -> str:
    return messages.Reason.Name(answer.assignment.reason).removeprefix("REASON_")


async def test_the_last_step_decided(stubs: Stubs) -> None:
    await create(stubs.flags, draft(v1=0, v2=100))
    answer = await stubs.explain()
    assert (answer.assignment.variant, reason(answer)) == ("v2", "SPLIT")
    assert [step.decided for step in answer.steps] == [False] * (len(answer.steps) - 1) + [True]
    assert answer.steps[0].subject == "kill switch"
    assert answer.steps[-1].subject == "split"
    assigned = await stubs.assignments.Assign(
        messages.AssignRequest(flag_key="chat-model", unit_id="anna")
    )
    assert assigned.assignment == answer.assignment


async def test_every_revision_is_explained_after_changes_and_deletions(stubs: Stubs) -> None:
    await make(stubs.segments, segment("testers", "anna"))  # 1
    flag = draft(v1=100, v2=0)
    await create(stubs.flags, flag)  # 2: v1 by the split
    flag.rules.append(in_segment("testers"))
    await stubs.flags.UpdateFlag(flag_service_pb2.UpdateFlagRequest(flag=flag))  # 3: v2, a rule
    await stubs.segments.UpdateHoldout(
        segment_service_pb2.UpdateHoldoutRequest(share_ppm=1_000_000)
    )  # 4: held out
    await stubs.segments.UpdateHoldout(segment_service_pb2.UpdateHoldoutRequest())  # 5
    flag.killed = True
    await stubs.flags.UpdateFlag(flag_service_pb2.UpdateFlagRequest(flag=flag))  # 6: killed
    await stubs.flags.DeleteFlag(flag_service_pb2.DeleteFlagRequest(key="chat-model"))  # 7
    await stubs.segments.DeleteSegment(segment_service_pb2.DeleteSegmentRequest(key="testers"))  # 8
    expected = [
        (1, "", "FLAG_NOT_FOUND"),
        (2, "v1", "SPLIT"),
        (3, "v2", "RULE"),
        (4, "v1", "HOLDOUT"),
        (5, "v2", "RULE"),
        (6, "v1", "KILLED"),
        (7, "", "FLAG_NOT_FOUND"),
        (8, "", "FLAG_NOT_FOUND"),
    ]
    answers = [await stubs.explain(revision=revision) for revision, _, _ in expected]
    told = [(each.assignment.revision, each.assignment.variant, reason(each)) for each in answers]
    assert told == expected
    assert (await stubs.explain()) == answers[-1]


async def test_a_unit_keeps_its_explanation_when_the_split_changes(stubs: Stubs) -> None:
    await create(stubs.flags, draft(v1=50, v2=50))
    before = [await stubs.explain(f"user-{number}") for number in range(20)]
    await stubs.flags.UpdateSplit(
        flag_service_pb2.UpdateSplitRequest(
            key="chat-model", split=split_messages({"v1": 0, "v2": 100})
        )
    )
    after = [await stubs.explain(f"user-{number}", revision=1) for number in range(20)]
    assert after == before
    assert {each.assignment.variant for each in before} == {"v1", "v2"}


@pytest.mark.parametrize(
    ("unit_id", "revision", "code", "words"),
    [
        ("", 0, grpc.StatusCode.INVALID_ARGUMENT, "unit_id:"),
        ("anna", -1, grpc.StatusCode.INVALID_ARGUMENT, "revision:"),
        ("anna", 2, grpc.StatusCode.NOT_FOUND, "revision 2 is not there yet"),
    ],
)
async def test_what_cannot_be_explained_is_named(
    stubs: Stubs, unit_id: str, revision: int, code: grpc.StatusCode, words: str
) -> None:
    await create(stubs.flags, draft())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.explain(unit_id, revision)
    assert caught.value.code() is code
    assert words in (caught.value.details() or "")


async def test_a_revision_that_is_no_longer_kept_is_not_found(
    stubs: Stubs, client: Redis, settings: Settings
) -> None:
    for key in ("a", "b", "c"):
        await create(stubs.flags, draft(key))
    keys = ConfigKeys(settings.environment)
    await client.xtrim(keys.changes, minid="3-0", approximate=False)
    assert reason(await stubs.explain(flag="c", revision=2)) == "FLAG_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.explain(flag="c", revision=1)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "give 2 to 3" in (caught.value.details() or "")
