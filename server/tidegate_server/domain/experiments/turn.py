"""One chance to act on an experiment."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from tidegate_server.analysis.decision import Goal, Verdict
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.evidence import Bounds
from tidegate_server.domain.experiments.assessment import Assessment
from tidegate_server.domain.experiments.look import OPEN, FlagSeen, Gate, Look
from tidegate_server.domain.experiments.plan import ZERO, Plan
from tidegate_server.domain.experiments.records import (
    CONTROLLER,
    Action,
    Decision,
    Measured,
    Seen,
    Step,
)
from tidegate_server.domain.experiments.state import ENDED, Memory, State, Status, stage_of
from tidegate_server.domain.experiments.windows import waits_for_window

_NEW_PHASE: Mapping[str, Any] = MappingProxyType(
    {"baked": ZERO, "streak": 0, "healthy": False, "least_p": 1.0}
)
"""What a change of split sets back."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One chance to act. state: with all that this look says noted in it; before: without.

    look, assessment: None for a command.
    """

    plan: Plan
    before: State
    state: State
    flag: FlagSeen
    now: datetime
    actor: str = CONTROLLER
    look: Look | None = None
    assessment: Assessment | None = None

    @property
    def verdict(self) -> Verdict | None:
        """What the look said."""
        return self.assessment.verdict if self.assessment else None

    @property
    def reasons(self) -> str:
        """Why the look said so."""
        return "; ".join(self.assessment.reasons) if self.assessment else ""

    @property
    def gate(self) -> Gate:
        """What stands before the next step."""
        return self.look.gate if self.look else OPEN

    def splits(self, share_ppm: int) -> bool:
        """Return whether the split that is seen is the one that gives the treatment this share."""
        return self.flag.splits(self.plan, share_ppm)

    def to(
        self,
        status: Status,
        action: Action,
        why: str,
        *,
        share_ppm: int | None = None,
        **changes: Any,
    ) -> Step:
        """Return the step to `status`. share_ppm: if another than is seen, the split's new one.

        A new split begins a phase: what was counted in the former one counts no more.
        """
        made: dict[str, Any] = {
            "status": status,
            "since": self.now,
            "reason": why,
            "waiting_since": None,
        }
        if share_ppm is not None:
            made["share_ppm"] = share_ppm
            share_ppm = None if self.splits(share_ppm) else share_ppm
        if share_ppm is not None:
            made |= {**_NEW_PHASE, "last_healthy": self.now}
        state = replace(self.state, **(made | changes))
        if status in ENDED - {Status.SUCCEEDED}:
            memory = Memory(state.attempt, self.now, status, why)
            state = replace(state, ending=None, memories=(*state.memories, memory))
        return Step(state, share_ppm, (self._decision(action, why, state),))

    def seen(self, assessment: Assessment) -> Seen:
        """Return what this look, whose assessment is given, saw."""
        evidence = assessment.evidence
        share = self.flag.treatment_ppm
        shut = waits_for_window(self.plan, self.before, share, self.now)
        waits = [self.gate.why, "no change window is open, so the share can't rise" if shut else ""]
        return Seen(
            time=self.now,
            stage=stage_of(self.plan, self.state).name,
            share_ppm=share,
            verdict=assessment.verdict,
            reasons=(*assessment.reasons, *filter(None, waits)),
            units=evidence.units if evidence else None,
            information=evidence.information if evidence else None,
            least_p=assessment.least_p,
            measured=(*self._compared(), *self._under_ceilings()),
        )

    def _decision(self, action: Action, why: str, after: State) -> Decision:
        found = self.assessment
        evidence = found.evidence if found else None
        return Decision(
            time=self.now,
            action=action,
            actor=self.actor,
            why=why,
            before=self.before,
            after=after,
            stage=stage_of(self.plan, self.state).name,
            phase=self.flag.phase,
            verdict=self.verdict,
            units=evidence.units if evidence else None,
            measured=(*self._compared(), *self._under_ceilings()),
        )

    def _compared(self) -> Iterator[Measured]:
        evidence = self.assessment.evidence if self.assessment else None
        for each in evidence.metrics if evidence else ():
            bounds = each.bounds(self.plan.quality.alpha)
            ends = (bounds.lower, bounds.upper) if isinstance(bounds, Bounds) else (None, None)
            lower, upper = (None if end is None or math.isinf(end) else end for end in ends)
            goal = isinstance(each.role, Goal)
            yield Measured(
                metric=each.name,
                role="goal" if goal else "guardrail",
                value=_known(each.point),
                lower=lower,
                upper=upper,
                threshold=each.role.min_effect if isinstance(each.role, Goal) else each.role.margin,
                tolerance=each.tolerance,
            )

    def _under_ceilings(self) -> Iterator[Measured]:
        if self.look is None or isinstance(self.look.findings, str):
            return
        readings = self.look.findings.ceilings
        for ceiling, reading in zip(self.plan.ceilings, readings, strict=True):
            name, value = str(ceiling.metric), _known(reading.value)
            yield Measured(name, "ceiling", value, None, None, ceiling.limit)


def _known(value: float | NotEstimable) -> float | None:
    return None if isinstance(value, NotEstimable) else value
