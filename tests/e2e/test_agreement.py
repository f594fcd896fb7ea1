"""Two SDK processes and the server agree on every unit, whatever becomes of the split."""

import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import grpc
import pytest

from tests.e2e.stack import Stack
from tidegate.v1 import assignment_service_pb2, assignment_service_pb2_grpc

UNITS = 100_000
ROOT = Path(__file__).parents[2]


def by_sdk(stack: Stack, flag: str) -> list[list[str]]:
    """Return what two SDK processes assign, each in the order of the units."""
    words = [sys.executable, "-m", "tests.e2e.assign_all", stack.address, flag, str(UNITS)]
    processes = [
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert answers[0]["revisions"] == answers[1]["revisions"]
    assert len(answers[0]["revisions"]) == 1
    return [answer["variants"] for answer in answers]


def by_server(stack: Stack, flag: str) -> list[str]:
    """Return what the server assigns, in the order of the units."""
    with grpc.insecure_channel(stack.address) as channel:
        stub = assignment_service_pb2_grpc.AssignmentServiceStub(channel)
        request = assignment_service_pb2.BatchAssignRequest(
            flag_key=flag, unit_ids=[f"user-{number}" for number in range(UNITS)]
        )
        answer = stub.BatchAssign(request)
        one = stub.Assign(
            assignment_service_pb2.AssignRequest(flag_key=flag, unit_id="user-0")
        ).assignment
    names = [assignment.variant for assignment in answer.assignments]
    variants = [names[index] for index in answer.assignment_indexes]
    assert one.variant == variants[0]
    return variants


def check_shares(variants: list[str], shares: dict[str, int]) -> None:
    """Check each variant's share of the units against 4 standard errors."""
    counts = Counter(variants)
    for variant, percent in shares.items():
        share = percent / 100
        error = math.sqrt(share * (1 - share) * UNITS)
        assert abs(counts[variant] - share * UNITS) <= 4 * error


def agreed(stack: Stack, flag: str, shares: dict[str, int]) -> list[str]:
    """Return the assignments that both SDK processes and the server agree on."""
    first, second = by_sdk(stack, flag)
    assert first == second == by_server(stack, flag)
    check_shares(first, shares)
    return first


@pytest.mark.timeout(200)
def test_two_sdks_and_the_server_agree_before_and_after_three_changes(stack: Stack) -> None:
    shares = {"v1": 90, "v2": 5, "v3": 5}
    stack.apply_flag("agreement", **shares)
    before = agreed(stack, "agreement", shares)
    changes = (
        ({"v1": 50, "v2": 25, "v3": 25}, 40),
        ({"v1": 50, "v2": 0, "v3": 50}, 25),
        ({"v1": 100, "v2": 0, "v3": 0}, 50),
    )
    for shares, moving in changes:
        stack.split("agreement", **shares)
        after = agreed(stack, "agreement", shares)
        moved = Counter((old, new) for old, new in zip(before, after, strict=True) if old != new)
        share = moving / 100
        error = math.sqrt(share * (1 - share) * UNITS)
        assert abs(moved.total() - share * UNITS) <= 4 * error
        before = after


def test_ninety_to_fifty_moves_units_only_out_of_the_shrinking_variant(stack: Stack) -> None:
    stack.apply_flag("movement", v1=90, v2=5, v3=5)
    before = by_server(stack, "movement")
    stack.split("movement", v1=50, v2=25, v3=25)
    after = by_server(stack, "movement")
    moved = Counter((old, new) for old, new in zip(before, after, strict=True) if old != new)
    assert set(moved) == {("v1", "v2"), ("v1", "v3")}
    assert abs(moved.total() - 0.4 * UNITS) <= 4 * math.sqrt(0.4 * 0.6 * UNITS)
