"""What a plan has compared with the control, in the form in which it is judged."""

from collections.abc import Iterator
from dataclasses import dataclass

from tidegate_server.analysis.decision import Goal, Guardrail
from tidegate_server.domain.experiments.plan import MetricName, Plan


@dataclass(frozen=True, slots=True)
class JudgedMetric:
    """A goal or a margin. tolerance: as in MetricEvidence."""

    name: MetricName
    role: Goal | Guardrail
    tolerance: float | None


def judged_metrics(plan: Plan) -> Iterator[JudgedMetric]:
    """Yield the goal and the margins, in order."""
    goal = plan.goal
    if goal is not None:
        yield JudgedMetric(goal.metric, Goal(goal.min_effect, goal.rule), goal.tolerance)
    for each in plan.margins:
        yield JudgedMetric(each.metric, Guardrail(each.margin), each.tolerance)
