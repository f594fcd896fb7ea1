"""What may be done in any status: the first of these for which there is a cause."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.checks import percent
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.moves import (
    hold,
    lower_share,
    pause,
    roll_back,
    shares_seen,
)
from tidegate_server.domain.experiments.plan import AfterLease, RollbackMode
from tidegate_server.domain.experiments.records import Action, Step
from tidegate_server.domain.experiments.state import IN_STAGE, Status
from tidegate_server.domain.experiments.turn import Turn

Rule: TypeAlias = Callable[[Turn], Step | None]
"""What may be done: None where there is no cause."""


def _gone(turn: Turn) -> Step | None:
    if not turn.flag.gone:
        return None
    why = f"{turn.flag.gone}: the split can't be changed any more"
    seen = replace(turn.state, share_ppm=turn.flag.treatment_ppm)
    return replace(turn, state=seen).to(turn.state.ending or Status.ABORTED, Action.ABORT, why)


def _return(turn: Turn) -> Step | None:
    """Go on rolling back: nothing else matters any more, and it ends when 0 % is seen."""
    if turn.state.status is not Status.ROLLING_BACK:
        return None
    seen, share = turn.flag.treatment_ppm, turn.state.share_ppm
    if seen == 0:
        ending = turn.state.ending or Status.ROLLED_BACK
        why = turn.state.reason or f"{turn.plan.treatment} has 0 %"
        return replace(turn, state=replace(turn.state, share_ppm=0)).to(ending, Action.FINISH, why)
    rollback, target = turn.plan.rollback, min(seen, share)
    if rollback.mode is RollbackMode.INSTANT or turn.flag.killed:
        target = 0
    elif turn.now - (turn.state.since or turn.now) >= rollback.step:
        target = lower_share(turn.plan, target)
    if turn.splits(target):
        return Step(replace(turn.state, share_ppm=target))
    why = f"{turn.plan.treatment} goes back to {percent(target)}: {turn.state.reason}"
    return turn.to(
        Status.ROLLING_BACK, Action.ROLL_BACK, why, share_ppm=target, reason=turn.state.reason
    )


def _killed(turn: Turn) -> Step | None:
    if not turn.flag.killed:
        return None
    return roll_back(
        turn, Status.ABORTED, "the flag's kill switch is on", Action.ABORT, instant=True
    )


def _breach(turn: Turn) -> Step | None:
    if turn.verdict is not Verdict.BREACH:
        return None
    return roll_back(turn, Status.ROLLED_BACK, turn.reasons)


def _changed_by_hand(turn: Turn) -> Step | None:
    state = turn.state
    if state.status is Status.PAUSED or turn.splits(state.share_ppm):
        return None
    why = (
        f"somebody changed the split: {shares_seen(turn)}, "
        f"where {turn.plan.treatment} was given {percent(state.share_ppm)}"
    )
    seen = replace(state, share_ppm=turn.flag.treatment_ppm)
    return pause(replace(turn, state=seen), why)


def _deadline(turn: Turn) -> Step | None:
    started, deadline = turn.state.started, turn.plan.deadline
    watching = Status.WATCHING in (turn.state.status, turn.state.resume)
    if watching or deadline is None or started is None:
        return None
    if turn.now - started < deadline:
        return None
    return roll_back(
        turn,
        Status.REJECTED,
        f"it was not through within {format_duration(deadline)}, its deadline",
    )


def _lease(turn: Turn) -> Step | None:
    """Act where the treatment has traffic, and nothing healthy has been seen for too long."""
    state, lease = turn.state, turn.plan.lease
    if state.last_healthy is None or turn.flag.treatment_ppm == 0:
        return None
    if turn.now - state.last_healthy < lease.duration:
        return None
    why = f"no healthy evidence for {format_duration(lease.duration)}: {turn.reasons}"
    if lease.then is AfterLease.CONTROL:
        return roll_back(turn, Status.ROLLED_BACK, why)
    if state.status in IN_STAGE - {Status.HELD}:
        return hold(turn, f"{why}; the split is frozen")
    return None


ANYWHERE: tuple[Rule, ...] = (
    _gone,
    _return,
    _killed,
    _breach,
    _deadline,
    _changed_by_hand,
    _lease,
)
