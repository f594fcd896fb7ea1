"""What a plan has compared with the control, in the form in which it is judged."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tidegate_server.analysis.confidence_sequence import Tuning
from tidegate_server.analysis.decision import Goal, Guardrail
from tidegate_server.domain.comparisons import SEQUENCE
from tidegate_server.domain.experiments.plan import MetricName, Plan


@dataclass(frozen=True, slots=True)
class JudgedMetric:
    """A goal or a margin. tolerance: as in MetricEvidence."""

    name: MetricName
    role: Goal | Guardrail
    tolerance: float | None


def tuning_of(plan: Plan) -> Tuning:
    """Return what a plan's sequences are tuned for: its goal's planned size, if it has one."""
    burn_in = plan.quality.burn_in
    if plan.goal is None:
        return replace(SEQUENCE, burn_in=burn_in)
    return Tuning(plan.goal.planned_units, burn_in=burn_in)


def judged_metrics(plan: Plan) -> Iterator[JudgedMetric]:
    """Yield the goal and the margins, in order."""
    goal = plan.goal
    if goal is not None:
        yield JudgedMetric(goal.metric, Goal(goal.min_effect, goal.rule), goal.tolerance)
    for each in plan.margins:
        yield JudgedMetric(each.metric, Guardrail(each.margin), each.tolerance)
