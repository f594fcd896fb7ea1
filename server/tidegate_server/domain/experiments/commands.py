"""What comes of what people ask of an experiment."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from tidegate.model import PPM
from tidegate_server.domain.checks import percent
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.look import FlagSeen
from tidegate_server.domain.experiments.moves import (
    leave,
    next_stage,
    pause,
    promote,
    roll_back,
    shares_seen,
)
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Action, Step
from tidegate_server.domain.experiments.requests import ALLOWED, MEANT_FOR, SAFE, Command, Request
from tidegate_server.domain.experiments.state import (
    State,
    Status,
    stage_of,
)
from tidegate_server.domain.experiments.turn import Turn
from tidegate_server.errors import Refused


def command(plan: Plan, state: State, asked: Command, flag: FlagSeen, now: datetime) -> Step:
    """Return what comes of a command. flag: as it stands.

    Raises:
        Refused: it makes no sense in this status, or something stands against it.
    """
    if state.status not in ALLOWED[asked.request]:
        status = state.status.replace("_", " ")
        raise Refused(
            f"experiment {plan.key!r} has the status {status!r}: {asked.request} is for one that "
            f"{MEANT_FOR[asked.request]}"
        )
    now = max(now, state.looked or now)
    turn = Turn(plan, state, state, flag, now, actor=asked.actor)
    if asked.request not in SAFE:
        _check_flag(turn, asked.request)
    said = f"{asked.request}, asked for by {asked.actor}"
    return _HANDLERS[asked.request](turn, f"{said}: {asked.why}" if asked.why else said)


def _check_flag(turn: Turn, request: Request) -> None:
    """Check that the flag is there, alive, and as the experiment left it."""
    plan, flag = turn.plan, turn.flag
    if flag.gone:
        raise Refused(f"{flag.gone}: experiment {plan.key!r} can't go on")
    if flag.killed:
        raise Refused(f"the kill switch of flag {plan.flag!r} is on: revive the flag first")
    free = request in (Request.START, Request.RETRY, Request.RESUME)
    if not free and not turn.splits(turn.state.share_ppm):
        raise Refused(
            f"somebody changed the split: {shares_seen(turn)}, where {plan.treatment} was given "
            f"{percent(turn.state.share_ppm)}: pause and resume to go on from there"
        )


def _start(turn: Turn, why: str, action: Action = Action.START) -> Step:
    plan, flag, first = turn.plan, turn.flag, turn.plan.stages[0]
    if flag.control_ppm + flag.treatment_ppm != PPM:
        raise Refused(
            f"{shares_seen(turn)}: an experiment needs all of the split: "
            "give it to these two before the start"
        )
    if flag.treatment_ppm > first.share_ppm:
        raise Refused(
            f"{plan.treatment} has {percent(flag.treatment_ppm)} already, and stage "
            f"{first.name!r} begins with {percent(first.share_ppm)}: lower the split first"
        )
    fresh = State(
        share_ppm=flag.treatment_ppm,
        attempt=turn.state.attempt + 1,
        started=turn.now,
        first_phase=flag.phase,
        last_healthy=turn.now,
        memories=turn.state.memories,
    )
    status = Status.PREFLIGHT if plan.preflight else Status.ENTERING
    return replace(turn, state=fresh).to(status, action, why)


def _retry(turn: Turn, why: str) -> Step:
    rollback, state = turn.plan.rollback, turn.state
    if state.attempt > rollback.retries:
        raise Refused(
            f"{turn.plan.treatment} has failed {state.attempt} times, and {rollback.retries} "
            "retries are allowed: give a new version a variant of its own"
        )
    rest = rollback.cool_down - (turn.now - (state.since or turn.now))
    if rest.total_seconds() > 0:
        raise Refused(f"the cool-down lasts for another {format_duration(rest)}")
    return _start(turn, why, Action.RETRY)


def _resume(turn: Turn, why: str) -> Step:
    """Go on. A stage is entered anew; a share beyond its own is taken back at once."""
    state, seen = turn.state, turn.flag.treatment_ppm
    resumed = replace(turn, state=replace(state, resume=None, last_healthy=turn.now))
    if state.resume is Status.WATCHING:
        return resumed.to(Status.WATCHING, Action.RESUME, why, share_ppm=PPM)
    share = min(seen, stage_of(turn.plan, state).share_ppm)
    return resumed.to(state.resume or Status.ENTERING, Action.RESUME, why, share_ppm=share)


def _approve(turn: Turn, why: str) -> Step:
    return next_stage(turn, Action.APPROVE, why)


def _skip(turn: Turn, why: str) -> Step:
    if turn.state.status is Status.PREFLIGHT:
        return turn.to(Status.ENTERING, Action.SKIP, why)
    if turn.state.status is Status.WATCHING:
        return turn.to(Status.SUCCEEDED, Action.SKIP, why)
    return leave(turn, Action.SKIP, why)


def _abort(turn: Turn, why: str) -> Step:
    return roll_back(turn, Status.ABORTED, why, Action.ABORT)


def _promote(turn: Turn, why: str) -> Step:
    ahead = [each.name for each in turn.plan.stages[turn.state.stage :] if each.approval]
    if ahead:
        raise Refused(
            f"{', '.join(ahead)} can be left only with an approval: "
            "approve there, or change the plan"
        )
    return promote(turn, Action.PROMOTE, why)


_HANDLERS: Mapping[Request, Callable[[Turn, str], Step]] = MappingProxyType(
    {
        Request.START: _start,
        Request.PAUSE: pause,
        Request.RESUME: _resume,
        Request.APPROVE: _approve,
        Request.SKIP: _skip,
        Request.ABORT: _abort,
        Request.PROMOTE: _promote,
        Request.RETRY: _retry,
    }
)
