"""The same plan with faster clocks: for rehearsals and demonstrations."""

from dataclasses import replace
from datetime import timedelta

from tidegate_server.domain.experiments.checks import SHORTEST_INTERVAL
from tidegate_server.domain.experiments.plan import Ceiling, Margin, Plan, Stage

SHORTEST_WINDOW = timedelta(seconds=10)
"""Evidence is kept in windows of ten seconds: a ceiling's can't be shorter."""

SHORTEST_PATIENCE = timedelta(seconds=10)
"""Events and checks take real seconds on their way, however fast the clocks are."""


def accelerated(plan: Plan, factor: float) -> Plan:
    """Return the plan with all its times divided by `factor`, at least 1.

    Looks are at least a second apart, and times that must span a look span one; silence, lease and
    preflight are given ten seconds, or what they had. Units, passes and change windows stay as they
    are: what counts evidence, or the time of day, is no clock.
    """

    def faster(time: timedelta, least: timedelta = timedelta()) -> timedelta:
        return max(time / factor, least)

    def stage(each: Stage) -> Stage:
        limit = None if each.hold_limit is None else faster(each.hold_limit, interval)
        return replace(each, bake=faster(each.bake), hold_limit=limit)

    def guardrail(each: Margin | Ceiling) -> Margin | Ceiling:
        if isinstance(each, Margin):
            return each
        windows = max(1, round(each.window / factor / SHORTEST_WINDOW))
        return replace(each, window=windows * SHORTEST_WINDOW)

    def patient(time: timedelta) -> timedelta:
        return faster(time, min(time, max(interval, SHORTEST_PATIENCE)))

    interval = faster(plan.interval, SHORTEST_INTERVAL)
    preflight, rollback, lease = plan.preflight, plan.rollback, plan.lease
    if preflight is not None:
        preflight = replace(preflight, limit=patient(preflight.limit))
    return replace(
        plan,
        stages=tuple(map(stage, plan.stages)),
        guardrails=tuple(map(guardrail, plan.guardrails)),
        quality=replace(plan.quality, silence=patient(plan.quality.silence)),
        preflight=preflight,
        watch=faster(plan.watch),
        rollback=replace(
            rollback,
            step=faster(rollback.step, interval),
            cool_down=faster(rollback.cool_down),
        ),
        lease=replace(lease, duration=patient(lease.duration)),
        deadline=None if plan.deadline is None else faster(plan.deadline, interval),
        interval=interval,
    )
