"""What a notification says, in each format: pure."""

import json
from typing import Any

from tidegate.model import PPM
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.plan import NotificationFormat, Plan
from tidegate_server.domain.experiments.records import Measured, NumberedDecision

MOST_SHOWN = 500
"""Characters of a reason that Slack is sent: it takes 3,000 in a section, when all is escaped."""


def body_of(
    form: NotificationFormat, event_id: str, environment: str, plan: Plan, told: NumberedDecision
) -> bytes:
    """Return what is posted of a decision."""
    make = _slack if form is NotificationFormat.SLACK else _json
    return json.dumps(make(event_id, environment, plan, told), allow_nan=False).encode()


def _json(event_id: str, environment: str, plan: Plan, told: NumberedDecision) -> dict[str, Any]:
    """Return the object that docs/experiments.md describes."""
    decision = told.decision
    return {
        "id": event_id,
        "environment": environment,
        "experiment": plan.key,
        "flag": plan.flag,
        "control": plan.control,
        "treatment": plan.treatment,
        "labels": dict(plan.labels),
        "number": told.number,
        "time": decision.time.isoformat(),
        "action": decision.action,
        "actor": decision.actor,
        "why": decision.why,
        "attempt": decision.after.attempt,
        "stage": decision.stage,
        "status_before": decision.before.status,
        "status": decision.after.status,
        "share_before": decision.before.share_ppm / PPM,
        "share": decision.after.share_ppm / PPM,
        "phase": decision.phase,
        "revision": told.revision,
        "verdict": decision.verdict,
        "units": decision.units,
        "metrics": [_metric(each) for each in decision.measured],
    }


def _metric(measured: Measured) -> dict[str, Any]:
    return {
        "metric": measured.metric,
        "role": measured.role,
        "value": measured.value,
        "lower": measured.lower,
        "upper": measured.upper,
        "threshold": measured.threshold,
        "tolerance": measured.tolerance,
    }


def _slack(event_id: str, environment: str, plan: Plan, told: NumberedDecision) -> dict[str, Any]:
    decision = told.decision
    before, after = decision.before, decision.after
    head, why = f"{plan.key}: {decision.action}", decision.why[:MOST_SHOWN]
    shares = percent(after.share_ppm)
    if before.share_ppm != after.share_ppm:
        shares = f"{percent(before.share_ppm)} → {shares}"
    facts = f"{after.status} · {decision.stage} · {plan.treatment} has {shares} · {environment}"
    text = f"*{_escaped(head)}*\n{_escaped(why)}\n{_escaped(facts)}"
    source = _escaped(f"{event_id} by {decision.actor}")
    return {
        "text": _escaped(f"{head}: {why}"),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": source}]},
        ],
    }


def _escaped(text: str) -> str:
    """Return a text in which nothing is a mention, a link or a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
