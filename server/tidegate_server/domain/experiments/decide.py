"""One look at a running experiment: what is noted of it, and what is done.

DRAFT ── start ─► PREFLIGHT ─► ENTERING ─► OBSERVING ─► DECIDING ─► AWAITING_APPROVAL
                                  ▲            │ ▲                        │
                                  │            ▼ │                        │
                                  │            HELD                       │
                                  └─────────── next stage ◄───────────────┤
                                                                          ▼
             any active one ─► ROLLING_BACK ─► ROLLED_BACK     WATCHING ─► SUCCEEDED
                                               REJECTED
                                               ABORTED
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate_server.domain.experiments.assessment import HEALTHY, PASSED, Assessment, assess
from tidegate_server.domain.experiments.look import FlagSeen, Look
from tidegate_server.domain.experiments.plan import ZERO, Plan
from tidegate_server.domain.experiments.records import Seen, Step
from tidegate_server.domain.experiments.rules_anywhere import ANYWHERE
from tidegate_server.domain.experiments.rules_by_status import BY_STATUS
from tidegate_server.domain.experiments.state import ACTIVE, IN_STAGE, State, Status, stage_of
from tidegate_server.domain.experiments.turn import Turn
from tidegate_server.domain.experiments.windows import may_rise

MOST_INTERVALS = 3
"""Looks that lie further apart, in intervals of the plan, have not seen the time between them."""


def decide(plan: Plan, state: State, look: Look, now: datetime) -> Step:
    """Return what comes of one look; at most one thing is done.

    Pure. Ticks that are overdue fold into one: time that no look has seen counts for nothing but
    deadlines, limits and the lease. A `now` before the last look's counts as the last look's.
    """
    if state.status not in ACTIVE:
        return Step(state)
    turn, _ = _turn(plan, state, look, now)
    return _act(turn)


def decide_and_see(plan: Plan, state: State, look: Look, now: datetime) -> tuple[Step, Seen]:
    """Return what `decide` does, and what the look saw; the experiment must be active."""
    turn, assessment = _turn(plan, state, look, now)
    return _act(turn), turn.seen(assessment)


def _turn(plan: Plan, state: State, look: Look, now: datetime) -> tuple[Turn, Assessment]:
    now = max(now, state.looked or now)
    present = _beside(plan, state, look.flag)
    assessment = assess(plan, present, look, now)
    noted = _noted(plan, present, look, assessment, now)
    turn = Turn(plan, state, noted, look.flag, now, look=look, assessment=assessment)
    return turn, assessment


def _act(turn: Turn) -> Step:
    for rule in (*ANYWHERE, BY_STATUS[turn.before.status]):
        step = rule(turn)
        if step is not None:
            return step
    return Step(turn.state)


def _beside(plan: Plan, state: State, flag: FlagSeen) -> State:
    """Return the state without what does not hold beside a split that was changed by hand."""
    if flag.splits(plan, state.share_ppm):
        return state
    if state.status is Status.PAUSED and flag.treatment_ppm != state.share_ppm:
        state = replace(state, share_ppm=flag.treatment_ppm, baked=ZERO)
    return replace(state, least_p=1.0)


def _noted(plan: Plan, state: State, look: Look, found: Assessment, now: datetime) -> State:
    """Return the state with what the look found."""
    healthy = found.verdict in HEALTHY
    noted = replace(
        state,
        looked=now,
        verdict=found.verdict,
        healthy=healthy,
        last_healthy=now if healthy else state.last_healthy,
        ceilings=found.ceilings,
        least_p=found.least_p,
        baked=_baked(plan, state, now, healthy=healthy),
        streak=state.streak + 1 if found.verdict in PASSED else 0,
    )
    stands = state.status in IN_STAGE - {Status.AWAITING_APPROVAL} and not _bakes(plan, noted)
    missing = not healthy and look.flag.treatment_ppm > 0
    still = stands and (may_rise(plan, now) or missing)
    return replace(noted, waiting_since=(state.waiting_since or now) if still else None)


def _baked(plan: Plan, state: State, now: datetime, *, healthy: bool) -> timedelta:
    """Return the bake clock: it runs from a healthy look to the next, if that is not far away."""
    if state.status not in (Status.OBSERVING, Status.WATCHING):
        return state.baked
    passed = now - (state.looked or now)
    seen = healthy and state.healthy and passed <= MOST_INTERVALS * plan.interval
    return state.baked + passed if seen else state.baked


def _bakes(plan: Plan, state: State) -> bool:
    """Return whether the stage is under way: time goes by that has to."""
    observing = state.status is Status.OBSERVING and state.healthy
    return observing and state.baked < stage_of(plan, state).bake
