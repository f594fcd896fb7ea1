"""Plans ↔ messages."""

from collections.abc import Sequence

from tidegate.model import FlagKey, VariantKey
from tidegate.v1 import experiment_pb2
from tidegate_server.domain.experiments.plan import (
    AfterHold,
    AfterLease,
    ExperimentKey,
    Lease,
    Plan,
    QualityRules,
    Rollback,
    RollbackMode,
    Stage,
)
from tidegate_server.errors import InvalidField, InvalidFields
from tidegate_server.wire.experiments.gates import (
    hook_to_message,
    notification_to_message,
    preflight_to_message,
    read_hook,
    read_notification,
    read_preflight,
    read_window,
    window_to_message,
)
from tidegate_server.wire.experiments.guardrails import (
    goal_to_message,
    guardrail_to_message,
    read_goal,
    read_guardrail,
)
from tidegate_server.wire.experiments.reader import Numbers, Reader, duration_to_message

_AFTER_HOLDS = Numbers(AfterHold, "AFTER_HOLD", experiment_pb2.AfterHold.Value)
_AFTER_LEASES = Numbers(AfterLease, "AFTER_LEASE", experiment_pb2.AfterLease.Value)
_MODES = Numbers(RollbackMode, "ROLLBACK_MODE", experiment_pb2.RollbackMode.Value)


def plan_to_message(plan: Plan) -> experiment_pb2.ExperimentPlan:
    """Return a plan as a message."""
    return experiment_pb2.ExperimentPlan(
        key=plan.key,
        flag_key=plan.flag,
        control=plan.control,
        treatment=plan.treatment,
        stages=map(_stage_to_message, plan.stages),
        goal=None if plan.goal is None else goal_to_message(plan.goal),
        guardrails=map(guardrail_to_message, plan.guardrails),
        quality=experiment_pb2.QualityRules(
            alpha=plan.quality.alpha,
            burn_in=plan.quality.burn_in,
            silence=duration_to_message(plan.quality.silence),
        ),
        preflight=None if plan.preflight is None else preflight_to_message(plan.preflight),
        watch=duration_to_message(plan.watch),
        rollback=_rollback_to_message(plan.rollback),
        lease=experiment_pb2.Lease(
            duration=duration_to_message(plan.lease.duration),
            then=_AFTER_LEASES.to_number(plan.lease.then),
        ),
        deadline=None if plan.deadline is None else duration_to_message(plan.deadline),
        interval=duration_to_message(plan.interval),
        description=plan.description,
        labels=dict(plan.labels),
        change_windows=map(window_to_message, plan.change_windows),
        notifications=map(notification_to_message, plan.notifications),
    )


def plan_from_message(message: experiment_pb2.ExperimentPlan) -> Plan:
    """Return the plan that a message holds; labels are in the order of their names.

    Raises:
        InvalidFields: names all that can't be read.
    """
    plan, problems = read_plan(message)
    if problems:
        raise InvalidFields(problems)
    return plan


def read_plan(
    message: experiment_pb2.ExperimentPlan,
) -> tuple[Plan, Sequence[InvalidField]]:
    """Return the plan that a message holds, and what can't be read of it.

    In place of that the plan has something harmless, so that the rest can be checked.
    """
    reader = Reader()
    plan = Plan(
        key=ExperimentKey(message.key),
        flag=FlagKey(message.flag_key),
        control=VariantKey(message.control),
        treatment=VariantKey(message.treatment),
        stages=tuple(
            _read_stage(each, f"stages[{index}]", reader)
            for index, each in enumerate(message.stages)
        ),
        goal=read_goal(message.goal, reader) if message.HasField("goal") else None,
        guardrails=tuple(
            read_guardrail(each, f"guardrails[{index}]", reader)
            for index, each in enumerate(message.guardrails)
        ),
        quality=QualityRules(
            message.quality.alpha,
            message.quality.burn_in,
            reader.duration(message.quality.silence, "quality.silence"),
        ),
        preflight=read_preflight(message.preflight, reader)
        if message.HasField("preflight")
        else None,
        watch=reader.duration(message.watch, "watch"),
        rollback=_read_rollback(message.rollback, reader),
        lease=Lease(
            reader.duration(message.lease.duration, "lease.duration"),
            reader.enum(_AFTER_LEASES, message.lease.then, "lease.then", AfterLease.FREEZE),
        ),
        deadline=reader.optional_duration(message, "deadline", "deadline"),
        interval=reader.duration(message.interval, "interval"),
        description=message.description,
        labels=tuple(sorted(message.labels.items())),
        change_windows=tuple(
            read_window(each, f"change_windows[{index}]", reader)
            for index, each in enumerate(message.change_windows)
        ),
        notifications=tuple(
            read_notification(each, f"notifications[{index}]", reader)
            for index, each in enumerate(message.notifications)
        ),
    )
    return plan, reader.problems


def _stage_to_message(stage: Stage) -> experiment_pb2.Stage:
    limit = stage.hold_limit
    return experiment_pb2.Stage(
        name=stage.name,
        share_ppm=stage.share_ppm,
        bake=duration_to_message(stage.bake),
        min_units=stage.min_units,
        passes=stage.passes,
        decide=stage.decide,
        approval=stage.approval,
        hold_limit=None if limit is None else duration_to_message(limit),
        after_hold=_AFTER_HOLDS.to_number(stage.after_hold),
        replicas=stage.replicas,
        before=map(hook_to_message, stage.before),
        after=map(hook_to_message, stage.after),
    )


def _read_stage(message: experiment_pb2.Stage, field: str, reader: Reader) -> Stage:
    before, after = (
        tuple(
            read_hook(each, f"{field}.{name}[{index}]", reader) for index, each in enumerate(hooks)
        )
        for name, hooks in (("before", message.before), ("after", message.after))
    )
    return Stage(
        name=message.name,
        share_ppm=message.share_ppm,
        bake=reader.duration(message.bake, f"{field}.bake"),
        min_units=message.min_units,
        passes=message.passes,
        decide=message.decide,
        approval=message.approval,
        hold_limit=reader.optional_duration(message, "hold_limit", f"{field}.hold_limit"),
        after_hold=reader.enum(_AFTER_HOLDS, message.after_hold, f"{field}.then", AfterHold.HOLD),
        replicas=message.replicas,
        before=before,
        after=after,
    )


def _rollback_to_message(rollback: Rollback) -> experiment_pb2.Rollback:
    return experiment_pb2.Rollback(
        mode=_MODES.to_number(rollback.mode),
        step=duration_to_message(rollback.step),
        cool_down=duration_to_message(rollback.cool_down),
        retries=rollback.retries,
    )


def _read_rollback(message: experiment_pb2.Rollback, reader: Reader) -> Rollback:
    return Rollback(
        mode=reader.enum(_MODES, message.mode, "rollback.mode", RollbackMode.INSTANT),
        step=reader.duration(message.step, "rollback.step"),
        cool_down=reader.duration(message.cool_down, "rollback.cool_down"),
        retries=message.retries,
    )
