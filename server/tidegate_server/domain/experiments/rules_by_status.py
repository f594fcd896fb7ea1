"""What may be done in one status, where nothing of what may happen anywhere is the case."""

from collections.abc import Mapping
from types import MappingProxyType

from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.checks import percent
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments.assessment import PASSED, UNTRUSTED
from tidegate_server.domain.experiments.look import GateState
from tidegate_server.domain.experiments.moves import hold, leave, roll_back
from tidegate_server.domain.experiments.plan import ZERO, AfterHold
from tidegate_server.domain.experiments.records import Action, Step
from tidegate_server.domain.experiments.rules_anywhere import Rule
from tidegate_server.domain.experiments.state import Status, stage_of
from tidegate_server.domain.experiments.turn import Turn
from tidegate_server.domain.experiments.windows import may_rise, promotes, waits_for_window


def _in_preflight(turn: Turn) -> Step | None:
    gate, limit = turn.gate, turn.plan.preflight.limit if turn.plan.preflight else ZERO
    if gate.state is GateState.OPEN:
        return turn.to(Status.ENTERING, Action.ADVANCE, "the preflight checks are passed")
    if gate.state is GateState.FAILED:
        return roll_back(turn, Status.REJECTED, f"the preflight checks failed: {gate.why}")
    if turn.now - (turn.state.since or turn.now) >= limit:
        why = f"the preflight checks were not through within {format_duration(limit)}: {gate.why}"
        return roll_back(turn, Status.REJECTED, why)
    return None


def _entering(turn: Turn) -> Step | None:
    """Give the stage its share, once it is ready and nothing speaks against more exposure."""
    stage, gate = stage_of(turn.plan, turn.state), turn.gate
    if gate.state is GateState.FAILED:
        return roll_back(turn, Status.REJECTED, f"{stage.name} can't begin: {gate.why}")
    exposed = turn.flag.treatment_ppm > 0
    if turn.verdict in UNTRUSTED and exposed:
        return hold(turn, turn.reasons)
    held_too_long = _held_too_long(turn)
    if held_too_long is not None:
        return held_too_long
    if gate.state is GateState.WAITING or (exposed and not turn.state.healthy):
        return None
    if waits_for_window(turn.plan, turn.state, turn.flag.treatment_ppm, turn.now):
        return None
    why = f"{stage.name} is ready: {turn.plan.treatment} has {percent(stage.share_ppm)}"
    return turn.to(Status.OBSERVING, Action.ENTER, why, share_ppm=stage.share_ppm)


def _observing(turn: Turn) -> Step | None:
    if turn.verdict in UNTRUSTED:
        return hold(turn, turn.reasons)
    return _conclusion(turn) or _held_too_long(turn)


def _conclusion(turn: Turn) -> Step | None:
    """Leave the stage, or fail it, if all that it waits for has been seen."""
    stage, state = stage_of(turn.plan, turn.state), turn.state
    complete = state.baked >= stage.bake and state.streak >= stage.passes
    if not complete or turn.verdict not in PASSED:
        return None
    if not stage.decide:
        seen = f"healthy for {format_duration(state.baked)}, {state.streak} passes in a row"
        return _past_gate(turn, f"{stage.name} is done: {seen}")
    if turn.verdict is Verdict.WIN:
        return _past_gate(turn, turn.reasons)
    if turn.verdict in (Verdict.LOSE, Verdict.FLAT):
        return roll_back(turn, Status.REJECTED, turn.reasons)
    if state.status is Status.DECIDING:
        return None
    return turn.to(
        Status.DECIDING, Action.WAIT_TO_DECIDE, turn.reasons, waiting_since=state.waiting_since
    )


def _past_gate(turn: Turn, why: str) -> Step | None:
    """Leave the stage, once nothing behind it stands in the way."""
    stage, gate = stage_of(turn.plan, turn.state), turn.gate
    if gate.state is GateState.FAILED:
        return roll_back(turn, Status.REJECTED, f"{stage.name} can't be left: {gate.why}")
    rises = promotes(turn.plan, stage, turn.flag.treatment_ppm)
    if gate.state is GateState.WAITING or (rises and not may_rise(turn.plan, turn.now)):
        return None
    return leave(turn, Action.ADVANCE, why)


def _held(turn: Turn) -> Step | None:
    if not turn.state.healthy:
        return _held_too_long(turn)
    share = stage_of(turn.plan, turn.state).share_ppm
    back = Status.OBSERVING if turn.splits(share) else Status.ENTERING
    why, since = "the evidence is healthy again", turn.state.waiting_since
    return turn.to(back, Action.OBSERVE, why, waiting_since=since)


def _held_too_long(turn: Turn) -> Step | None:
    """Do what the stage says if it has stood still for too long."""
    state, stage = turn.state, stage_of(turn.plan, turn.state)
    if state.waiting_since is None or stage.hold_limit is None:
        return None
    if turn.now - state.waiting_since < stage.hold_limit:
        return None
    why = f"{stage.name} has stood still for {format_duration(stage.hold_limit)}: {turn.reasons}"
    if stage.after_hold is AfterHold.ROLL_BACK:
        return roll_back(turn, Status.ROLLED_BACK, why)
    going = state.status is Status.OBSERVING and state.healthy
    if stage.after_hold is AfterHold.CONTINUE and going and not stage.decide:
        return _past_gate(turn, why)
    return None


def _awaiting_approval(turn: Turn) -> Step | None:
    return hold(turn, turn.reasons) if turn.verdict in UNTRUSTED else None


def _watching(turn: Turn) -> Step | None:
    watch, state = turn.plan.watch, turn.state
    if watch and not (state.healthy and state.baked >= watch):
        return None
    seen = f"healthy for {format_duration(state.baked)}" if watch else "no watch is asked for"
    return turn.to(Status.SUCCEEDED, Action.FINISH, f"{seen} at 100 %")


def _nothing(turn: Turn) -> Step | None:
    return None


BY_STATUS: Mapping[Status, Rule] = MappingProxyType(
    {
        Status.PREFLIGHT: _in_preflight,
        Status.ENTERING: _entering,
        Status.OBSERVING: _observing,
        Status.HELD: _held,
        Status.DECIDING: _observing,
        Status.AWAITING_APPROVAL: _awaiting_approval,
        Status.WATCHING: _watching,
        Status.PAUSED: _nothing,
        Status.ROLLING_BACK: _nothing,
    }
)
