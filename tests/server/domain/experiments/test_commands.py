from dataclasses import replace

import pytest

from tests.server.domain.experiments.samples import HOUR, MINUTE, NOW, PERCENT, PLAN, seen
from tidegate.model import PPM
from tidegate_server.domain.experiments.commands import command
from tidegate_server.domain.experiments.look import FlagSeen
from tidegate_server.domain.experiments.plan import Rollback
from tidegate_server.domain.experiments.records import Step
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.errors import Refused

RUNNING = State(
    status=Status.OBSERVING,
    stage=1,
    share_ppm=25 * PERCENT,
    attempt=1,
    started=NOW,
    since=NOW,
    baked=10 * MINUTE,
)


def ask(request: Request, state: State, flag: FlagSeen | None = None) -> Step:
    flag = seen(state.share_ppm) if flag is None else flag
    return command(PLAN, state, Command(request, "anna", "because"), flag, NOW + MINUTE)


def test_a_start_leaves_the_split_until_the_first_stage_is_ready() -> None:
    step = ask(Request.START, State(), seen(2 * PERCENT))
    assert step.share_ppm is None
    state = step.state
    assert (state.status, state.share_ppm, state.attempt) == (Status.PREFLIGHT, 2 * PERCENT, 1)
    assert state.started == state.since == NOW + MINUTE
    bare = replace(PLAN, preflight=None)
    step = command(bare, State(), Command(Request.START, "anna"), seen(0), NOW)
    assert step.state.status is Status.ENTERING


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (seen(6 * PERCENT), "v2 has 6 % already, and stage 'canary' begins with 5 %"),
        (FlagSeen(90 * PERCENT, 5 * PERCENT), "v1 has 90 %, v2 5 %: an experiment needs all"),
        (replace(seen(0), killed=True), "the kill switch of flag 'chat-model' is on"),
        (replace(seen(0), gone="variant 'v2' is gone"), "variant 'v2' is gone: experiment"),
    ],
)
def test_a_start_needs_a_sound_flag(flag: FlagSeen, message: str) -> None:
    with pytest.raises(Refused, match=message):
        ask(Request.START, State(), flag)


@pytest.mark.parametrize("request_", [Request.SKIP, Request.PROMOTE, Request.APPROVE])
def test_nobody_goes_on_over_a_split_that_somebody_else_changed(request_: Request) -> None:
    status = Status.AWAITING_APPROVAL if request_ is Request.APPROVE else Status.OBSERVING
    with pytest.raises(Refused, match="v2 30 %, where v2 was given 25 %: pause and resume"):
        ask(request_, replace(RUNNING, status=status), seen(30 * PERCENT))


@pytest.mark.parametrize("request_", [Request.PAUSE, Request.ABORT])
def test_a_pause_and_an_abort_are_granted_whatever_the_flag_looks_like(request_: Request) -> None:
    flag = replace(seen(30 * PERCENT), killed=True)
    assert ask(request_, RUNNING, flag).decisions


def test_a_pause_keeps_what_was_seen_if_the_split_is_kept() -> None:
    paused = ask(Request.PAUSE, RUNNING).state
    resumed = ask(Request.RESUME, paused)
    assert (resumed.state.status, resumed.share_ppm) == (Status.ENTERING, None)
    assert resumed.state.baked == 10 * MINUTE
    assert resumed.state.resume is None


@pytest.mark.parametrize(("by_hand", "share"), [(90, 25), (10, None)])
def test_a_share_beyond_the_stage_is_taken_back_on_resumption(
    by_hand: int, share: int | None
) -> None:
    paused = ask(Request.PAUSE, RUNNING).state
    resumed = ask(Request.RESUME, paused, seen(by_hand * PERCENT))
    assert resumed.share_ppm == (share and share * PERCENT)
    assert resumed.state.share_ppm == min(by_hand, 25) * PERCENT


def test_a_watch_is_resumed_with_everything() -> None:
    watching = replace(RUNNING, status=Status.WATCHING, stage=3, share_ppm=PPM)
    paused = ask(Request.PAUSE, watching).state
    resumed = ask(Request.RESUME, paused, seen(50 * PERCENT))
    assert (resumed.state.status, resumed.share_ppm) == (Status.WATCHING, PPM)


def test_an_approval_leads_to_the_next_stage_and_after_the_last_to_everything() -> None:
    waiting = replace(RUNNING, status=Status.AWAITING_APPROVAL, stage=2, share_ppm=50 * PERCENT)
    step = ask(Request.APPROVE, waiting)
    assert (step.state.status, step.state.stage, step.share_ppm) == (Status.ENTERING, 3, None)
    last = replace(PLAN, stages=PLAN.stages[:3])
    flag, asked = seen(50 * PERCENT), Command(Request.APPROVE, "anna")
    step = command(last, waiting, asked, flag, NOW)
    assert (step.state.status, step.share_ppm) == (Status.WATCHING, PPM)


def test_a_retry_is_asked_for_cools_down_first_and_is_limited() -> None:
    failed = replace(RUNNING, status=Status.ROLLED_BACK, share_ppm=0)
    plan = replace(PLAN, rollback=Rollback(cool_down=HOUR, retries=1))
    asked = Command(Request.RETRY, "anna")
    with pytest.raises(Refused, match="the cool-down lasts for another 59m59s"):
        command(plan, failed, asked, seen(0), NOW + MINUTE / 60)
    again = command(plan, failed, asked, seen(0), NOW + HOUR).state
    assert (again.status, again.attempt, again.stage) == (Status.PREFLIGHT, 2, 0)
    with pytest.raises(Refused, match="v2 has failed 2 times, and 1 retries are allowed"):
        command(plan, replace(failed, attempt=2), asked, seen(0), NOW + HOUR)


def test_an_abort_without_traffic_is_the_end_at_once() -> None:
    step = ask(Request.ABORT, replace(RUNNING, status=Status.PREFLIGHT, share_ppm=0))
    assert (step.state.status, step.share_ppm) == (Status.ABORTED, None)
    (memory,) = step.state.memories
    assert memory.why == "abort, asked for by anna: because"
