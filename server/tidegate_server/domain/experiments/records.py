"""What comes of a look or a command: a new state, perhaps a split, and the decision behind it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tidegate_server.analysis.looks import Verdict
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.state import State


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as it is stored. version: rises by one with every commit, from 1 on."""

    plan: Plan
    state: State
    version: int
    created: datetime
    updated: datetime


CONTROLLER = "controller"
"""The actor of what is decided without a person."""


class Action(StrEnum):
    """What is done."""

    START = "start"
    ENTER = "enter"
    OBSERVE = "observe"
    HOLD = "hold"
    WAIT_TO_DECIDE = "wait to decide"
    ASK_FOR_APPROVAL = "ask for approval"
    APPROVE = "approve"
    ADVANCE = "advance"
    SKIP = "skip"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    ABORT = "abort"
    RETRY = "retry"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric at the time of a decision.

    role: goal, guardrail or ceiling. value: the effect's estimate, or the figure under a ceiling;
    lower, upper: one-sided bounds of the effect at the plan's alpha; None: not estimable, or none.
    threshold: the minimum effect, the margin or the limit. tolerance: harm from which it rolls
    back.
    """

    metric: str
    role: str
    value: float | None
    lower: float | None
    upper: float | None
    threshold: float
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of status or split, and what led to it.

    before, after: the states. stage: its name. phase: of the flag when it was made, whose evidence
    was judged; 0 where the flag was gone. A changed split begins the next one. verdict: of the
    look; None for a command. units: of the smaller arm. why: one sentence.
    """

    time: datetime
    action: Action
    actor: str
    why: str
    before: State
    after: State
    stage: str
    phase: int
    verdict: Verdict | None = None
    units: float | None = None
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True, slots=True)
class NumberedDecision:
    """A decision in its experiment's log.

    number: from 1 on, without gaps. revision: at which it changed the split; 0 if it did not.
    """

    number: int
    decision: Decision
    revision: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look saw, for whoever follows the experiment.

    stage: its name. share_ppm: the treatment's, as it was. reasons: of the verdict, and what the
    next step waits for. units: of the smaller arm; information: part of the goal's planned size;
    None where the evidence could not be judged. least_p: of the sample ratio in this phase.
    """

    time: datetime
    stage: str
    share_ppm: int
    verdict: Verdict
    reasons: tuple[str, ...]
    units: float | None
    information: float | None
    least_p: float
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What comes of a look or a command.

    share_ppm: the treatment's new share, in [0, PPM]; None: the split stays as it is.
    """

    state: State
    share_ppm: int | None = None
    decisions: tuple[Decision, ...] = ()
