from dataclasses import replace

import pytest

from tests.sdk.flags import make_flag, make_snapshot
from tidegate.arm import Arm, arm_of, outside_split
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import FlagKey, Phase, Reason, VariantKey
from tidegate.model_version import version_id

GIVEN = CompiledSnapshot(make_snapshot(make_flag(shares=(100,), phase=3))).evaluate(
    "chat-model", "user-1"
)


@pytest.mark.parametrize("reason", Reason)
def test_only_the_flags_split_lies_inside(reason: Reason) -> None:
    inside = reason in (Reason.SPLIT, Reason.PINNED)
    assert outside_split(replace(GIVEN.given, reason=reason)) is not inside
    assert outside_split(replace(GIVEN.given, reason=reason, rule="staff"))


def test_an_arm_is_made_once_for_all_units() -> None:
    arm = arm_of(GIVEN.given)
    assert arm == Arm(
        FlagKey("chat-model"),
        VariantKey("v1"),
        Phase(3),
        outside_split=False,
        version_id=version_id({"model": "llama-v1", "tags": ["v1"]}),
    )
    assert arm_of(GIVEN.given) is arm
    assert arm_of(arm) is arm
