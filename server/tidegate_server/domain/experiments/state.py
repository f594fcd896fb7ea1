"""Where an experiment stands."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tidegate_server.analysis.looks import Verdict
from tidegate_server.domain.experiments.plan import ZERO, Plan, Stage


class Status(StrEnum):
    """What an experiment is doing.

    DRAFT: not started. PREFLIGHT: checks before any traffic. In a stage: ENTERING (waits for what
    the stage needs; the share is still the former one), OBSERVING, HELD (the evidence can't be
    trusted, or is missing), DECIDING (all is seen, but nothing is shown yet), AWAITING_APPROVAL.
    WATCHING: the treatment has everything. PAUSED: by a person, or because the split was changed by
    hand. ROLLING_BACK: on the way to 0 %. The last four are the ends: SUCCEEDED; ROLLED_BACK: harm,
    or no trust; REJECTED: not good enough, or not ready; ABORTED: by a person.
    """

    DRAFT = "draft"
    PREFLIGHT = "preflight"
    ENTERING = "entering"
    OBSERVING = "observing"
    HELD = "held"
    DECIDING = "deciding"
    AWAITING_APPROVAL = "awaiting_approval"
    WATCHING = "watching"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    ABORTED = "aborted"


IN_STAGE = frozenset(
    {
        Status.ENTERING,
        Status.OBSERVING,
        Status.HELD,
        Status.DECIDING,
        Status.AWAITING_APPROVAL,
    }
)
"""The states of RUNNING."""

ENDED = frozenset({Status.SUCCEEDED, Status.ROLLED_BACK, Status.REJECTED, Status.ABORTED})
"""States that no look changes."""

ACTIVE = frozenset(Status) - ENDED - {Status.DRAFT}
"""States in which looks are taken."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Why an attempt ended without success."""

    attempt: int
    time: datetime
    status: Status
    why: str


@dataclass(frozen=True, slots=True)
class State:
    """Where an experiment stands. Everything that `tick` needs to know of the past is here.

    stage: index of the present stage, also while paused. share_ppm: the treatment's share, as last
    seen or set. attempt: 1 for the first, 0 before. started: of the attempt; first_phase: the
    flag's phase at that time: evidence of earlier ones does not count. since, reason: of the last
    decision.

    looked: when the last look was; verdict, healthy: what it found. last_healthy: when healthy
    evidence was last seen, or could first be expected. baked: healthy time seen in this stage, or
    while watching. streak: passes in a row. waiting_since: since when the stage stands still; None
    while it does not.
    ceilings: for each of the plan's, what its last looks found, oldest first. least_p: least
    p-value of the sample ratio in this phase.

    resume: to what a pause returns. ending: to what a rollback leads. memories: of failed attempts.
    """

    status: Status = Status.DRAFT
    stage: int = 0
    share_ppm: int = 0
    attempt: int = 0
    started: datetime | None = None
    first_phase: int = 0
    since: datetime | None = None
    reason: str = ""
    looked: datetime | None = None
    verdict: Verdict | None = None
    healthy: bool = False
    last_healthy: datetime | None = None
    baked: timedelta = ZERO
    streak: int = 0
    waiting_since: datetime | None = None
    ceilings: tuple[tuple[bool, ...], ...] = ()
    least_p: float = 1.0
    resume: Status | None = None
    ending: Status | None = None
    memories: tuple[Memory, ...] = ()


def stage_of(plan: Plan, state: State) -> Stage:
    """Return the present stage."""
    return plan.stages[state.stage]
