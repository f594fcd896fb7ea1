"""The ways from one status to another that looks and commands share."""

from dataclasses import replace

from tidegate.model import PPM
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.plan import ZERO, Plan, RollbackMode
from tidegate_server.domain.experiments.records import Action, Step
from tidegate_server.domain.experiments.state import Status, stage_of
from tidegate_server.domain.experiments.turn import Turn


def leave(turn: Turn, action: Action, why: str) -> Step:
    """Leave the stage: to the next one, or to whoever must approve of it."""
    stage = stage_of(turn.plan, turn.state)
    if stage.approval:
        return turn.to(
            Status.AWAITING_APPROVAL,
            Action.ASK_FOR_APPROVAL if action is Action.ADVANCE else action,
            f"{why}; {stage.name} is left only with an approval",
        )
    return next_stage(turn, action, why)


def next_stage(turn: Turn, action: Action, why: str) -> Step:
    """Go to the next stage, whose share is given when it is ready; after the last one promote."""
    following = turn.state.stage + 1
    if following == len(turn.plan.stages):
        return promote(turn, action, why)
    return turn.to(Status.ENTERING, action, why, stage=following, baked=ZERO, streak=0)


def promote(turn: Turn, action: Action, why: str) -> Step:
    """Give the treatment everything, and watch."""
    last = len(turn.plan.stages) - 1
    action = Action.PROMOTE if action is Action.ADVANCE else action
    return turn.to(
        Status.WATCHING, action, why, share_ppm=PPM, stage=last, baked=ZERO, healthy=False
    )


def hold(turn: Turn, why: str) -> Step:
    """Hold the stage: the evidence can't be trusted, or is missing."""
    return turn.to(Status.HELD, Action.HOLD, why, waiting_since=turn.state.waiting_since)


def pause(turn: Turn, why: str) -> Step:
    """Stop going on; what has been seen of the stage still counts if the split stays as it is."""
    status, state = turn.state.status, turn.state
    kept = status in (Status.PREFLIGHT, Status.WATCHING)
    baked = state.baked if turn.before.share_ppm == state.share_ppm else ZERO
    return turn.to(
        Status.PAUSED,
        Action.PAUSE,
        why,
        resume=status if kept else Status.ENTERING,
        baked=baked,
        healthy=False,
    )


def roll_back(
    turn: Turn,
    ending: Status,
    why: str,
    action: Action = Action.ROLL_BACK,
    *,
    instant: bool = False,
) -> Step:
    """Begin to return to control; where the treatment has no share, that is the end already."""
    share = turn.flag.treatment_ppm
    if share == 0:
        return replace(turn, state=replace(turn.state, share_ppm=0)).to(ending, action, why)
    instant = instant or turn.plan.rollback.mode is RollbackMode.INSTANT
    target = 0 if instant else lower_share(turn.plan, share)
    return turn.to(Status.ROLLING_BACK, action, why, share_ppm=target, ending=ending)


def lower_share(plan: Plan, share_ppm: int) -> int:
    """Return the largest share of a stage below `share_ppm`; 0 below the first."""
    return max((each.share_ppm for each in plan.stages if each.share_ppm < share_ppm), default=0)


def shares_seen(turn: Turn) -> str:
    """Say what the split is."""
    plan, flag = turn.plan, turn.flag
    return (
        f"{plan.control} has {percent(flag.control_ppm)}, "
        f"{plan.treatment} {percent(flag.treatment_ppm)}"
    )
