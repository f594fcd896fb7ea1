"""From experiment files to plans."""

from typing import Any

from tidegate.model import FlagKey, VariantKey
from tidegate_server.analysis.looks import EffectRule
from tidegate_server.cli.clause_document import Document
from tidegate_server.cli.experiment_document import (
    ChangeWindowDocument,
    EvaluationDocument,
    ExperimentDocument,
    GuardrailDocument,
    HookDocument,
    NotificationDocument,
    StageDocument,
)
from tidegate_server.domain.experiments.plan import (
    AfterHold,
    AfterLease,
    Ceiling,
    ChangeWindow,
    Evaluation,
    ExperimentKey,
    Goal,
    Hook,
    Lease,
    Margin,
    Notification,
    NotificationFormat,
    Plan,
    Preflight,
    QualityRules,
    Rollback,
    RollbackMode,
    Stage,
    Threshold,
)
from tidegate_server.domain.experiments.templates import TEMPLATES, Template

_NAMES = {
    "share": "share_ppm",
    "then": "after_hold",
    "min_events": "least_events",
    "from_": "start",
    "to": "end",
}
"""Fields of files that are called otherwise in plans."""


def to_plan(document: ExperimentDocument) -> Plan:
    """Return the plan of a file; what it leaves out comes from its template, or is the default."""
    template = TEMPLATES[document.template] if document.template else Template(stages=())
    return Plan(
        key=ExperimentKey(document.experiment),
        flag=FlagKey(document.flag),
        control=VariantKey(document.control),
        treatment=VariantKey(document.treatment),
        stages=template.stages if document.stages is None else tuple(map(_stage, document.stages)),
        goal=_goal(document, template.min_effect),
        guardrails=tuple(map(_guardrail, document.guardrails)),
        quality=QualityRules(**_given(document.quality)),
        preflight=_preflight(document) or template.preflight,
        rollback=_rollback(document),
        lease=_lease(document),
        labels=tuple(document.labels.items()),
        change_windows=tuple(map(_window, document.change_windows)),
        notifications=tuple(map(_notification, document.notifications)),
        **{"watch": template.watch}
        | _given(document, "watch", "deadline", "interval", "description"),
    )


def _given(document: Document | None, *names: str) -> dict[str, Any]:
    """Return the fields that a file names, by their names in plans. names: only these."""
    if document is None:
        return {}
    fields = {name: getattr(document, name) for name in names or type(document).model_fields}
    return {_NAMES.get(name, name): value for name, value in fields.items() if value is not None}


def _goal(document: ExperimentDocument, min_effect: float) -> Goal | None:
    if document.goal is None:
        return None
    given = {"min_effect": min_effect} | _given(document.goal)
    if document.goal.rule is not None:
        given["rule"] = EffectRule(document.goal.rule)
    return Goal(**given)


def _guardrail(document: GuardrailDocument) -> Margin | Ceiling:
    if document.margin is not None:
        tolerance = document.margin if document.tolerance is None else document.tolerance
        return Margin(document.metric, document.margin, tolerance)
    given = _given(document, "metric", "window", "min_events")
    if document.looks is not None:
        given["broken"], given["looks"] = document.looks
    floor = document.min is not None
    limit = document.min if document.min is not None else document.max
    return Ceiling(**given, limit=limit if limit is not None else 0.0, floor=floor)


def _stage(document: StageDocument) -> Stage:
    given = _given(document)
    if document.ratio is not None:
        given |= {"share_ppm": given.pop("ratio"), "replicas": True}
    if document.then is not None:
        given["after_hold"] = AfterHold(document.then)
    hooks = {name: tuple(map(_hook, given[name])) for name in ("before", "after")}
    return Stage(**given | hooks)


def _hook(document: HookDocument) -> Hook:
    return Hook(**_given(document))


def _preflight(document: ExperimentDocument) -> Preflight | None:
    if document.preflight is None:
        return None
    given = _given(document.preflight)
    if document.preflight.evaluation is not None:
        given["evaluation"] = _evaluation(document.preflight.evaluation)
    return Preflight(**given)


def _evaluation(document: EvaluationDocument) -> Evaluation:
    thresholds = [
        Threshold(name, limit, floor)
        for name, limits in document.metrics.items()
        for limit, floor in ((limits.min, True), (limits.max, False))
        if limit is not None
    ]
    given = _given(document, "url", "timeout")
    return Evaluation(tuple(thresholds), tuple(document.command or ()), **given)


def _rollback(document: ExperimentDocument) -> Rollback:
    given = _given(document.rollback)
    if "mode" in given:
        given["mode"] = RollbackMode(given["mode"])
    return Rollback(**given)


def _lease(document: ExperimentDocument) -> Lease:
    given = _given(document.lease, "duration") if document.lease else {}
    if document.lease and document.lease.then is not None:
        given["then"] = AfterLease(document.lease.then)
    return Lease(**given)


def _window(document: ChangeWindowDocument) -> ChangeWindow:
    given = _given(document)
    return ChangeWindow(**given | {"days": tuple(document.days)})


def _notification(document: NotificationDocument) -> Notification:
    given = _given(document, "url")
    if document.format is not None:
        given["format"] = NotificationFormat(document.format)
    return Notification(**given, actions=tuple(document.on))
