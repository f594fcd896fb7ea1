"""Plans with faster clocks."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.domain.experiments.samples import HOUR, MINUTE, PLAN
from tidegate_server.domain.experiments.accelerate import accelerated
from tidegate_server.domain.experiments.checks import problems
from tidegate_server.domain.experiments.plan import Rollback, RollbackMode

SECONDS = timedelta(seconds=1)


def test_all_clocks_are_faster_and_nothing_else_changes() -> None:
    faster = accelerated(PLAN, 60)
    assert [stage.bake for stage in faster.stages] == [stage.bake / 60 for stage in PLAN.stages]
    assert faster.stages[1].hold_limit == 2 * MINUTE
    assert faster.watch == HOUR / 60
    assert faster.deadline == timedelta(days=7) / 60
    assert faster.interval == SECONDS
    assert faster.quality.silence == 10 * SECONDS
    assert faster.ceilings[0].window == 10 * SECONDS
    assert faster.goal == PLAN.goal
    assert faster.margins == PLAN.margins
    assert [stage.min_units for stage in faster.stages] == [300, 1_000, 0, 0]


def test_a_factor_of_one_changes_nothing() -> None:
    assert accelerated(PLAN, 1) == PLAN


@given(st.floats(1, 100_000))
def test_what_was_valid_stays_so(factor: float) -> None:
    stepwise = replace(PLAN, rollback=Rollback(RollbackMode.STEPWISE, MINUTE, HOUR))
    assert problems(PLAN) == problems(stepwise) == ()
    found = [each.field for each in problems(accelerated(stepwise, factor))]
    assert found in ([], ["deadline"])


@pytest.mark.parametrize("factor", [10, 1_000])
def test_the_deadline_stays_beyond_the_stages(factor: float) -> None:
    assert problems(accelerated(PLAN, factor)) == ()
