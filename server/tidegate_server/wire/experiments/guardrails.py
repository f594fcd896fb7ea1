"""Metrics, the goal and the guardrails of plans."""

from tidegate.v1 import experiment_pb2
from tidegate_server.analysis.looks import EffectRule
from tidegate_server.domain.experiments.plan import Ceiling, Goal, Margin, MetricName
from tidegate_server.domain.metrics import Statistic
from tidegate_server.wire.experiments.reader import Numbers, Reader, duration_to_message

_RULES = Numbers(EffectRule, "EFFECT_RULE", experiment_pb2.EffectRule.Value)


def goal_to_message(goal: Goal) -> experiment_pb2.Goal:
    """Return a goal as a message."""
    return experiment_pb2.Goal(
        metric=_metric_to_message(goal.metric),
        min_effect=goal.min_effect,
        rule=_RULES.to_number(goal.rule),
        tolerance=goal.tolerance,
        planned_units=goal.planned_units,
    )


def read_goal(message: experiment_pb2.Goal, reader: Reader) -> Goal:
    """Read a goal."""
    return Goal(
        metric=_read_metric(message.metric, "goal.metric", reader),
        min_effect=message.min_effect,
        rule=reader.enum(_RULES, message.rule, "goal.rule", EffectRule.BOUND),
        tolerance=message.tolerance if message.HasField("tolerance") else None,
        planned_units=message.planned_units,
    )


def guardrail_to_message(guardrail: Margin | Ceiling) -> experiment_pb2.PlanGuardrail:
    """Return a guardrail as a message."""
    metric = _metric_to_message(guardrail.metric)
    if isinstance(guardrail, Margin):
        margin = experiment_pb2.MarginGuardrail(
            metric=metric, margin=guardrail.margin, tolerance=guardrail.tolerance
        )
        return experiment_pb2.PlanGuardrail(margin=margin)
    ceiling = experiment_pb2.CeilingGuardrail(
        metric=metric,
        limit=guardrail.limit,
        floor=guardrail.floor,
        window=duration_to_message(guardrail.window),
        least_events=guardrail.least_events,
        broken=guardrail.broken,
        looks=guardrail.looks,
    )
    return experiment_pb2.PlanGuardrail(ceiling=ceiling)


def read_guardrail(
    message: experiment_pb2.PlanGuardrail, field: str, reader: Reader
) -> Margin | Ceiling:
    """Read a guardrail."""
    match message.WhichOneof("kind"):
        case "margin":
            margin = message.margin
            metric = _read_metric(margin.metric, f"{field}.metric", reader)
            return Margin(metric, margin.margin, margin.tolerance)
        case "ceiling":
            return _read_ceiling(message.ceiling, field, reader)
        case _:
            reader.report(field, "names no limit: give one of max, min (a ceiling) and margin")
            return Margin(_stand_in(field), 0.1, 0.1)


def _read_ceiling(message: experiment_pb2.CeilingGuardrail, field: str, reader: Reader) -> Ceiling:
    return Ceiling(
        metric=_read_metric(message.metric, f"{field}.metric", reader),
        limit=message.limit,
        floor=message.floor,
        window=reader.duration(message.window, f"{field}.window"),
        least_events=message.least_events,
        broken=message.broken,
        looks=message.looks,
    )


def _metric_to_message(metric: MetricName) -> experiment_pb2.MetricName:
    return experiment_pb2.MetricName(outcome=metric.outcome, statistic=metric.statistic)


def _read_metric(message: experiment_pb2.MetricName, field: str, reader: Reader) -> MetricName:
    known = [each.value for each in Statistic]
    if message.statistic not in known:
        reader.report(
            field, f"the statistic {message.statistic!r} is not known: give {', '.join(known)}"
        )
        return _stand_in(field)
    return MetricName(message.outcome, Statistic(message.statistic))


def _stand_in(field: str) -> MetricName:
    """Return a valid name that no other field has."""
    return MetricName("unread." + "".join(filter(str.isalnum, field)))
