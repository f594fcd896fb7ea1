"""What one look at the outside world found."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tidegate.model import Snapshot
from tidegate_server.analysis.decision import Evidence
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.domain.experiments.plan import Plan


@dataclass(frozen=True, slots=True)
class FlagSeen:
    """The flag as it stands: shares in ppm, the kill switch, and what is gone, in words.

    phase: its present one, >= 1. Where the flag or a variant is gone, all numbers are 0.
    """

    control_ppm: int
    treatment_ppm: int
    killed: bool = False
    gone: str = ""
    phase: int = 0

    def splits(self, plan: Plan, share_ppm: int) -> bool:
        """Return whether the split is the one that gives the treatment this share."""
        wanted = [share.ppm for share in plan.split(share_ppm)]
        return [self.control_ppm, self.treatment_ppm] == wanted


def flag_seen(plan: Plan, snapshot: Snapshot) -> FlagSeen:
    """Return the flag of a plan as it stands in a snapshot."""
    flag = snapshot.flags.get(plan.flag)
    if flag is None:
        return FlagSeen(0, 0, gone=f"there is no flag {plan.flag!r}")
    variants = [variant.key for variant in flag.variants]
    for key in (plan.control, plan.treatment):
        if key not in variants:
            return FlagSeen(0, 0, gone=f"flag {plan.flag!r} has no variant {key!r}")
    shares = {share.variant: share.ppm for share in flag.split}
    return FlagSeen(
        control_ppm=shares.get(plan.control, 0),
        treatment_ppm=shares.get(plan.treatment, 0),
        killed=flag.killed,
        phase=flag.phase,
    )


class GateState(StrEnum):
    """Whether the outside world is ready for the next step."""

    OPEN = "open"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands before a preflight's end or a stage's share: checks, hooks, replicas."""

    state: GateState = GateState.OPEN
    why: str = ""


OPEN = Gate()


@dataclass(frozen=True, slots=True)
class CeilingReading:
    """The treatment's figure over a ceiling's window, and of how many events it is.

    slack: how far chance alone may have moved the figure beyond the true one, >= 0.
    """

    value: float | NotEstimable
    events: int
    slack: float = 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """The evidence of the present attempt, as far as it could be read.

    evidence: over all its phases; its information counts against the goal's planned size; without
        ceilings, which are judged over several looks.
    ceilings: one reading for each of the plan's, in order.
    stage_units: in the present phase, of the smaller of the arms that have a share, >= 0.
    newest: when the arm with a share that has been silent for longest was last heard of in the
        present phase; None: never.
    absent: metrics of the plan that have no event in an arm with a share. A ceiling's need have
        none in the control.
    sample_ratio_p: always-valid p-value of the present phase's split, in (0, 1].
    """

    evidence: Evidence
    ceilings: tuple[CeilingReading, ...] = ()
    stage_units: float = 0.0
    newest: datetime | None = None
    absent: tuple[str, ...] = ()
    sample_ratio_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look. findings: or, where the evidence can't be read, why not."""

    flag: FlagSeen
    findings: Findings | str
    gate: Gate = OPEN
