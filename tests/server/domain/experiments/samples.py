"""A plan, and looks that have the verdict that is asked for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tidegate.model import PPM, FlagKey, VariantKey
from tidegate_server.analysis.decision import (
    Evidence,
    MetricEvidence,
    Verdict,
)
from tidegate_server.analysis.decision import Goal as JudgedGoal
from tidegate_server.analysis.decision import Guardrail as JudgedGuardrail
from tidegate_server.analysis.evidence import Bounds
from tidegate_server.analysis.quality import Quality
from tidegate_server.domain.experiments.look import (
    OPEN,
    CeilingReading,
    Findings,
    FlagSeen,
    Gate,
    Look,
)
from tidegate_server.domain.experiments.plan import (
    AfterHold,
    Ceiling,
    ExperimentKey,
    Goal,
    Margin,
    MetricName,
    Plan,
    Preflight,
    Stage,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PERCENT = PPM // 100

PLAN = Plan(
    key=ExperimentKey("chat-v2"),
    flag=FlagKey("chat-model"),
    control=VariantKey("v1"),
    treatment=VariantKey("v2"),
    goal=Goal(MetricName("rating"), 0.05),
    guardrails=(
        Margin(MetricName("latency_ms"), 0.1, 0.1),
        Ceiling(MetricName("error"), 0.05),
    ),
    stages=(
        Stage("canary", 5 * PERCENT, bake=30 * MINUTE, min_units=300, passes=2),
        Stage(
            "test",
            25 * PERCENT,
            bake=30 * MINUTE,
            min_units=1_000,
            decide=True,
            hold_limit=2 * HOUR,
            after_hold=AfterHold.ROLL_BACK,
        ),
        Stage("expand", 50 * PERCENT, bake=HOUR, approval=True),
        Stage("full", PPM),
    ),
    preflight=Preflight(10 * MINUTE),
    watch=HOUR,
    deadline=timedelta(days=7),
)

GOALS = {Verdict.WIN: (0.06, 0.2), Verdict.LOSE: (-0.1, 0.01)}


def seen(share_ppm: int) -> FlagSeen:
    return FlagSeen(PPM - share_ppm, share_ppm)


def findings(verdict: Verdict, now: datetime, plan: Plan = PLAN) -> Findings:
    """Return evidence that has this verdict at a stage's end, where the treatment has a share."""
    lower, upper = GOALS.get(verdict, (-0.01, 0.2))
    harm = 0.15 if verdict is Verdict.BREACH else -0.1
    metrics = (
        MetricEvidence(
            "rating", JudgedGoal(0.05), True, lambda _: Bounds(lower, upper), 0.05, None
        ),
        MetricEvidence(
            "latency_ms",
            JudgedGuardrail(0.1),
            False,
            lambda _: Bounds(harm, 0.2 if harm > 0 else 0.05),
            harm,
            0.1,
        ),
    )
    few = 100.0 if verdict is Verdict.INSUFFICIENT else 5_000.0
    quality = {
        Verdict.SAMPLE_RATIO_MISMATCH: Quality("units are not split as promised"),
        Verdict.OUTAGE: Quality("", ("outcomes were lost",)),
    }.get(verdict, Quality())
    evidence = Evidence(metrics, few, 1.0 if verdict is Verdict.FLAT else 0.5, quality)
    silent = verdict is Verdict.NO_DATA
    readings = tuple(CeilingReading(0.01, 1_000) for _ in plan.ceilings)
    return Findings(evidence, readings, few, now - HOUR if silent else now)


def look(
    verdict: Verdict, share_ppm: int, now: datetime, gate: Gate = OPEN, plan: Plan = PLAN
) -> Look:
    return Look(seen(share_ppm), findings(verdict, now, plan), gate)


def with_error(look: Look, value: float, events: int = 1_000) -> Look:
    """Return the look with another reading of the only ceiling."""
    assert isinstance(look.findings, Findings)
    return replace(look, findings=replace(look.findings, ceilings=(CeilingReading(value, events),)))
