"""Change windows: shares rise only within them, and fall at any time."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from tests.server.domain.experiments.samples import HOUR, MINUTE, NOW, PERCENT, PLAN, look
from tidegate.model import PPM
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.decide import decide, decide_and_see
from tidegate_server.domain.experiments.plan import AfterHold, ChangeWindow, Plan, Weekday
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.domain.experiments.windows import may_rise

WORKDAYS = (Weekday.MON, Weekday.TUE, Weekday.WED, Weekday.THU, Weekday.FRI)
OFFICE = ChangeWindow(WORKDAYS, time(9), time(17), "Europe/Berlin")
SATURDAY = NOW
"""The samples' NOW is Saturday, 31 January 2026, 12:00 UTC."""


def with_window(*windows: ChangeWindow) -> Plan:
    return replace(PLAN, change_windows=windows)


@pytest.mark.parametrize(
    ("moment", "may"),
    [
        (datetime(2026, 1, 30, 7, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 1, 30, 8, 0, tzinfo=UTC), True),
        (datetime(2026, 1, 30, 15, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 30, 16, 0, tzinfo=UTC), False),
        (datetime(2026, 1, 31, 12, 0, tzinfo=UTC), False),
        (datetime(2026, 7, 3, 7, 0, tzinfo=UTC), True),  # summer time: 09:00 there
    ],
)
def test_windows_are_read_in_their_own_zone(moment: datetime, may: bool) -> None:
    assert may_rise(with_window(OFFICE), moment) is may


def test_midnight_ends_the_day_and_any_window_will_do() -> None:
    evening = ChangeWindow((Weekday.SAT,), time(22), time())
    plan = with_window(OFFICE, evening)
    assert not may_rise(plan, SATURDAY)
    assert may_rise(plan, SATURDAY.replace(hour=23, minute=59, second=59))
    assert not may_rise(plan, SATURDAY + timedelta(hours=12))
    assert may_rise(PLAN, SATURDAY)


ENTERING = State(
    status=Status.ENTERING,
    stage=1,
    share_ppm=5 * PERCENT,
    attempt=1,
    started=NOW,
    since=NOW,
    last_healthy=NOW,
)


def test_a_stage_waits_for_its_window_and_does_not_stand_still() -> None:
    plan, state, now = with_window(OFFICE), ENTERING, SATURDAY
    for _ in range(20):
        now += HOUR / 6
        state = decide(plan, state, look(Verdict.PASS, 5 * PERCENT, now), now).state
        assert (state.status, state.share_ppm, state.waiting_since) == (
            Status.ENTERING,
            5 * PERCENT,
            None,
        )
    monday = datetime(2026, 2, 2, 8, tzinfo=UTC)
    step = decide(plan, state, look(Verdict.PASS, 5 * PERCENT, monday), monday)
    assert (step.state.status, step.share_ppm) == (Status.OBSERVING, 25 * PERCENT)


def test_an_experiment_that_is_started_at_the_weekend_waits_for_monday() -> None:
    first = replace(PLAN.stages[0], hold_limit=HOUR, after_hold=AfterHold.ROLL_BACK)
    plan = replace(with_window(OFFICE), stages=(first, *PLAN.stages[1:]))
    state, now = replace(ENTERING, stage=0, share_ppm=0), SATURDAY
    for _ in range(20):
        now += HOUR / 6
        state = decide(plan, state, look(Verdict.PASS, 0, now), now).state
    assert (state.status, state.waiting_since) == (Status.ENTERING, None)
    monday = datetime(2026, 2, 2, 8, tzinfo=UTC)
    assert decide(plan, state, look(Verdict.PASS, 0, monday), monday).share_ppm == 5 * PERCENT


SHUT = "no change window is open, so the share can't rise"
LAST = replace(
    ENTERING, status=Status.OBSERVING, baked=2 * HOUR, streak=9, healthy=True, looked=SATURDAY
)


@pytest.mark.parametrize(
    ("state", "share", "shut"),
    [
        pytest.param(ENTERING, 5, True, id="a share is to rise"),
        pytest.param(ENTERING, 25, False, id="it has it already"),
        pytest.param(replace(LAST, stage=1), 25, False, id="the end of a stage, not the last"),
        pytest.param(replace(LAST, stage=2), 50, True, id="the promotion"),
        pytest.param(replace(LAST, stage=2, baked=MINUTE), 50, False, id="it bakes"),
    ],
)
def test_a_look_says_that_it_waits_for_a_window(state: State, share: int, shut: bool) -> None:
    stages = (*PLAN.stages[:2], replace(PLAN.stages[2], approval=False))
    state = replace(state, share_ppm=share * PERCENT)
    found = look(Verdict.PASS, share * PERCENT, SATURDAY)
    for plan, said in ((replace(with_window(OFFICE), stages=stages), shut), (PLAN, False)):
        _, saw = decide_and_see(plan, state, found, SATURDAY)
        assert (SHUT in saw.reasons) is said


def test_what_is_unhealthy_stands_still_outside_of_windows_too() -> None:
    found = look(Verdict.NO_DATA, 5 * PERCENT, NOW)
    assert decide(with_window(OFFICE), ENTERING, found, NOW).state.waiting_since == NOW


def test_the_way_back_knows_no_window() -> None:
    plan = with_window(OFFICE)
    step = decide(plan, ENTERING, look(Verdict.BREACH, 5 * PERCENT, NOW), NOW)
    assert (step.state.status, step.share_ppm) == (Status.ROLLING_BACK, 0)


def test_the_last_step_to_everything_waits_as_well() -> None:
    plan = replace(with_window(OFFICE), stages=PLAN.stages[:1])
    state = replace(
        ENTERING, status=Status.OBSERVING, stage=0, baked=HOUR, streak=5, healthy=True, looked=NOW
    )
    now = NOW + MINUTE / 6
    step = decide(plan, state, look(Verdict.PASS, 5 * PERCENT, now), now)
    assert (step.state.status, step.share_ppm) == (Status.OBSERVING, None)
    monday = datetime(2026, 2, 2, 8, tzinfo=UTC)
    state = replace(step.state, looked=monday - MINUTE / 6)
    step = decide(plan, state, look(Verdict.PASS, 5 * PERCENT, monday), monday)
    assert (step.state.status, step.share_ppm) == (Status.WATCHING, PPM)
