"""What a plan may say, by itself and beside its flag: all that is wrong, at once."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from tidegate.model import PPM, Direction, Flag
from tidegate_server.domain.checks import percent, unknown
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.experiments import gate_checks, limits
from tidegate_server.domain.experiments.limits import Problems
from tidegate_server.domain.experiments.plan import (
    ZERO,
    AfterHold,
    Ceiling,
    Margin,
    Plan,
    RollbackMode,
    Stage,
)
from tidegate_server.domain.metrics import direction_of
from tidegate_server.errors import InvalidField

MOST_STAGES = 20
MOST_GUARDRAILS = 50
MOST_LABELS, LONGEST_DESCRIPTION = 20, 2_000
SHORTEST_INTERVAL, LONGEST_INTERVAL = timedelta(seconds=1), timedelta(hours=1)
LONGEST_WINDOW = timedelta(hours=24)
"""Windows of ten seconds are kept for so long."""


def problems(plan: Plan) -> tuple[InvalidField, ...]:
    """Return everything that is wrong with a plan by itself, at most once for each field."""
    found = [
        *_names(plan),
        *_goal(plan),
        *_guardrails(plan),
        *_quality(plan),
        *_stages(plan),
        *_times(plan),
        *_rollback(plan),
        *gate_checks.change_windows(plan),
        *gate_checks.notifications(plan),
        *_notes(plan),
    ]
    return each_once(found)


def each_once(found: Sequence[InvalidField]) -> tuple[InvalidField, ...]:
    """Return the first problem of each field."""
    return tuple({each.field: each for each in reversed(found)}.values())[::-1]


def flag_problems(plan: Plan, flag: Flag) -> tuple[InvalidField, ...]:
    """Return what is wrong with a plan beside its flag."""
    return (*_variants(plan, flag), *_directions(plan, flag))


def _variants(plan: Plan, flag: Flag) -> Problems:
    keys = [variant.key for variant in flag.variants]
    for field, key in (("control", plan.control), ("treatment", plan.treatment)):
        if key not in keys:
            yield InvalidField(field, f"variant {unknown(key, keys)}")


def _directions(plan: Plan, flag: Flag) -> Problems:
    """Check that it is known of every metric that is compared which way it is better."""
    compared = {
        f"guardrails[{index}].metric": each.metric.outcome
        for index, each in enumerate(plan.guardrails)
        if isinstance(each, Margin)
    }
    if plan.goal is not None:
        compared = {"goal.metric": plan.goal.metric.outcome} | compared
    for field, outcome in compared.items():
        if direction_of(outcome, flag.metrics) is Direction.UNKNOWN:
            yield InvalidField(
                field,
                f"it is not known which way {outcome!r} is better: "
                f"declare it among the metrics of flag {flag.key!r}",
            )


def _names(plan: Plan) -> Problems:
    named = {
        "experiment": plan.key,
        "flag": plan.flag,
        "control": plan.control,
        "treatment": plan.treatment,
    }
    for field, name in named.items():
        yield from limits.name(field, name)
    if plan.control == plan.treatment:
        yield InvalidField("treatment", f"is {plan.control!r} like the control: name another")


def _goal(plan: Plan) -> Problems:
    goal = plan.goal
    if goal is None:
        return
    yield from limits.name("goal.metric", goal.metric.outcome)
    yield from limits.within("goal.min_effect", goal.min_effect, 0, 100)
    yield from limits.within("goal.planned_units", goal.planned_units, 1, 1e12)
    if goal.tolerance is not None:
        yield from limits.within("goal.tolerance", goal.tolerance, 0, 100)


def _guardrails(plan: Plan) -> Problems:
    if plan.goal is None and not plan.guardrails:
        yield InvalidField("guardrails", "there is neither a goal nor a guardrail: add one")
    if len(plan.guardrails) > MOST_GUARDRAILS:
        yield InvalidField("guardrails", f"there are more than {MOST_GUARDRAILS}")
    seen: Counter[str] = Counter()
    for index, each in enumerate(plan.guardrails):
        field = f"guardrails[{index}]"
        yield from limits.name(f"{field}.metric", each.metric.outcome)
        margin = isinstance(each, Margin)
        kind = "margin" if margin else "ceiling"
        what = kind if margin else f"{kind} over {each.window}" if isinstance(each, Ceiling) else ""
        seen[f"{each.metric} {what}"] += 1
        if seen[f"{each.metric} {what}"] > 1:
            yield InvalidField(field, f"is a second {kind} of {each.metric}: keep one")
        yield from _margin(field, each) if isinstance(each, Margin) else _ceiling(field, each)


def _margin(field: str, guardrail: Margin) -> Problems:
    if not 0 < guardrail.margin < 1:
        yield InvalidField(
            f"{field}.margin", f"must be more than 0% and below 100%, not {guardrail.margin:.4g}"
        )
    if not guardrail.margin <= guardrail.tolerance < math.inf:
        yield InvalidField(
            f"{field}.tolerance",
            f"must be at least the margin, {guardrail.margin:.4g}, not {guardrail.tolerance:.4g}: "
            "what may be promoted can't roll back",
        )


def _ceiling(field: str, ceiling: Ceiling) -> Problems:
    if not math.isfinite(ceiling.limit):
        side = "min" if ceiling.floor else "max"
        yield InvalidField(f"{field}.{side}", "must be a finite number")
    whole = ceiling.window % timedelta(seconds=10) == ZERO
    if not (whole and timedelta(seconds=10) <= ceiling.window <= LONGEST_WINDOW):
        yield InvalidField(f"{field}.window", "must be a multiple of 10s, from 10s to 24h")
    yield from limits.within(f"{field}.min_events", ceiling.least_events, 1, 1_000_000)
    if not 1 <= ceiling.broken <= ceiling.looks <= 20:
        yield InvalidField(
            f"{field}.looks", "must be such as `2 of 3`: 1 or more of at most 20, not more of fewer"
        )


def _quality(plan: Plan) -> Problems:
    rules = plan.quality
    if not 0 < rules.alpha < 0.5:
        yield InvalidField("quality.alpha", f"must be above 0 and below 0.5, not {rules.alpha:.4g}")
    yield from limits.within("quality.burn_in", rules.burn_in, 0, 1e9)
    yield from limits.span("quality.silence", rules.silence, _interval(plan))


def _stages(plan: Plan) -> Problems:
    if not 1 <= len(plan.stages) <= MOST_STAGES:
        yield InvalidField("stages", f"there are {len(plan.stages)}: give 1 to {MOST_STAGES}")
    names: set[str] = set()
    share = 0
    for index, stage in enumerate(plan.stages):
        field = f"stages[{index}]"
        yield from limits.name(f"{field}.name", stage.name)
        if stage.name in names:
            yield InvalidField(f"{field}.name", f"{stage.name!r} occurs twice: name each once")
        names.add(stage.name)
        if not share < stage.share_ppm <= PPM:
            yield InvalidField(
                f"{field}.share",
                f"is {percent(stage.share_ppm)}: shares rise from stage to stage; give more than "
                f"{percent(share)}, and at most 100 %",
            )
        share = max(share, stage.share_ppm)
        yield from _stage(field, stage, plan)
    if plan.compares and plan.stages and plan.stages[0].share_ppm == PPM:
        yield InvalidField(
            "stages[0].share", "leaves no control to compare with: begin with less than 100 %"
        )


def _stage(field: str, stage: Stage, plan: Plan) -> Problems:
    yield from limits.span(f"{field}.bake", stage.bake, ZERO)
    yield from limits.within(f"{field}.min_units", stage.min_units, 0, 1e9)
    yield from limits.within(f"{field}.passes", stage.passes, 1, 1_000)
    yield from gate_checks.hooks(f"{field}.before", stage.before)
    yield from gate_checks.hooks(f"{field}.after", stage.after)
    if stage.decide and not plan.compares:
        yield InvalidField(
            f"{field}.decide", "there is nothing to decide by: add a goal or a margin"
        )
    if stage.decide and stage.share_ppm == PPM:
        yield InvalidField(
            f"{field}.decide", "at 100 % there is no control: decide in an earlier stage"
        )
    if stage.hold_limit is not None:
        yield from limits.span(f"{field}.hold_limit", stage.hold_limit, _interval(plan))
    elif stage.after_hold is not AfterHold.HOLD:
        yield InvalidField(
            f"{field}.hold_limit", f"is missing: after how long shall it {stage.after_hold}?"
        )
    if stage.decide and stage.after_hold is AfterHold.CONTINUE:
        yield InvalidField(
            f"{field}.then", "a stage that decides can't continue undecided: hold or roll back"
        )


def _times(plan: Plan) -> Problems:
    if not SHORTEST_INTERVAL <= plan.interval <= LONGEST_INTERVAL:
        yield InvalidField("interval", f"must be 1s to 1h, not {format_duration(plan.interval)}")
    yield from limits.span("watch", plan.watch, ZERO)
    yield from limits.span("lease.duration", plan.lease.duration, _interval(plan))
    if plan.preflight is not None:
        yield from gate_checks.preflight(plan.preflight, _interval(plan))
    bakes = sum((stage.bake for stage in plan.stages), ZERO)
    if plan.deadline is not None and plan.deadline <= bakes:
        yield InvalidField(
            "deadline",
            f"is {format_duration(plan.deadline)}, and the stages bake for "
            f"{format_duration(bakes)}: give more",
        )


def _rollback(plan: Plan) -> Problems:
    rollback = plan.rollback
    stepwise = rollback.mode is RollbackMode.STEPWISE
    yield from limits.span("rollback.step", rollback.step, _interval(plan) if stepwise else ZERO)
    yield from limits.span("rollback.cool_down", rollback.cool_down, ZERO)
    yield from limits.within("rollback.retries", rollback.retries, 0, 100)


def _notes(plan: Plan) -> Problems:
    yield from limits.length("description", plan.description, 0, LONGEST_DESCRIPTION)
    yield from limits.count("labels", plan.labels, 0, MOST_LABELS)
    for key, value in plan.labels[:MOST_LABELS]:
        yield from limits.name(f"labels.{key}", key)
        yield from limits.length(f"labels.{key}", value, 1, 100)


def _interval(plan: Plan) -> timedelta:
    """Return the least that other times may be: what is wrong with the interval is said there."""
    sound = SHORTEST_INTERVAL <= plan.interval <= LONGEST_INTERVAL
    return plan.interval if sound else ZERO
