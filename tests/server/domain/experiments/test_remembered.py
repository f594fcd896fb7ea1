from dataclasses import replace

import pytest

from tests.server.domain.experiments.samples import HOUR, NOW, PLAN
from tidegate.model import FlagKey, VariantKey
from tidegate_server.domain.experiments.plan import ExperimentKey, Plan
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.remembered import last_failure
from tidegate_server.domain.experiments.state import Memory, State, Status

FORMER = replace(PLAN, key=ExperimentKey("former"))


def failed(*memories: Memory, plan: Plan = FORMER) -> Experiment:
    return Experiment(plan, State(Status.ROLLED_BACK, memories=memories), 9, NOW, NOW)


def memory(status: Status, why: str, hours: int = 0) -> Memory:
    return Memory(1, NOW + hours * HOUR, status, why)


def test_the_last_failure_is_told() -> None:
    older = failed(memory(Status.REJECTED, "flat"), plan=replace(PLAN, key=ExperimentKey("older")))
    newer = failed(
        memory(Status.ROLLED_BACK, "slow", 1), memory(Status.ABORTED, "asked for by anna", 2)
    )
    assert last_failure(PLAN, [newer, older]) == (
        "v2 was rolled back by former on 2026-01-31 13:00 UTC: slow"
    )
    assert last_failure(PLAN, [older]) == "v2 was rejected by older on 2026-01-31 12:00 UTC: flat"


@pytest.mark.parametrize(
    "other",
    [
        failed(),
        failed(memory(Status.ABORTED, "asked for by anna")),
        failed(memory(Status.ROLLED_BACK, "slow"), plan=PLAN),
        failed(memory(Status.ROLLED_BACK, "slow"), plan=replace(FORMER, flag=FlagKey("other"))),
        failed(
            memory(Status.ROLLED_BACK, "slow"), plan=replace(FORMER, treatment=VariantKey("v3"))
        ),
    ],
    ids=["no failure", "aborted", "the same experiment", "another flag", "another treatment"],
)
def test_what_says_nothing_of_this_treatment_is_passed_over(other: Experiment) -> None:
    assert last_failure(PLAN, [other]) == ""
