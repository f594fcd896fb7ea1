"""What a report means, in words: read from its comparisons, never assumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate.v1 import report_service_pb2
from tidegate_server.report_text import ERROR, number, p_value

Comparison = report_service_pb2.Comparison
Measure = tuple[str, "report_service_pb2.Statistic.ValueType"]
"""An outcome and what of it is compared."""

GOAL: Measure = ("rating", report_service_pb2.STATISTIC_MEAN)
GUARDRAILS: tuple[Measure, ...] = (
    (ERROR, report_service_pb2.STATISTIC_MEAN),
    ("latency_ms", report_service_pb2.STATISTIC_P95),
)

_STATISTIC_NAMES = {
    report_service_pb2.STATISTIC_MEAN: "",
    report_service_pb2.STATISTIC_P50: " p50",
    report_service_pb2.STATISTIC_P90: " p90",
    report_service_pb2.STATISTIC_P95: " p95",
    report_service_pb2.STATISTIC_P99: " p99",
}


class Standing(StrEnum):
    """How a treatment stands against the control on one measure."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One measure's standing, and the sentence with its figures."""

    name: str
    standing: Standing
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conclusion, and what it rests on: the goal's finding first."""

    conclusion: str
    findings: tuple[Finding, ...]


def judge(report: report_service_pb2.Report, treatment: str) -> Verdict:
    """Judge a treatment by the goal, with the guardrails beside it."""
    findings = tuple(_find(report, treatment, measure) for measure in (GOAL, *GUARDRAILS))
    return Verdict(_conclude(report.control, treatment, findings[0], findings[1:]), findings)


def _conclude(control: str, treatment: str, goal: Finding, guardrails: Sequence[Finding]) -> str:
    harmed = [finding.name for finding in guardrails if finding.standing is Standing.WORSE]
    unclear = [finding.name for finding in guardrails if finding.standing is Standing.UNKNOWN]
    match goal.standing:
        case Standing.UNKNOWN:
            return f"nothing can be said yet: {goal.text}"
        case Standing.WORSE:
            return f"{treatment} is worse on {goal.name}: stay with {control}"
        case Standing.NO_DIFFERENCE:
            return f"{treatment} is not shown to be better on {goal.name}: stay with {control}"
    better = f"{treatment} is better on {goal.name}"
    if harmed:
        return f"{better}, but worse on {' and '.join(harmed)}: weigh one against the other"
    if unclear:
        return f"{better}, but nothing can be said on {' and '.join(unclear)}: gather more"
    names = " or ".join(finding.name for finding in guardrails)
    return f"{better}, and not shown to be worse on {names}: {treatment} can go on"


def _find(report: report_service_pb2.Report, treatment: str, measure: Measure) -> Finding:
    outcome, statistic = measure
    name = outcome + _STATISTIC_NAMES[statistic]
    for comparison in report.comparisons:
        if (comparison.treatment, comparison.outcome) != (treatment, outcome):
            continue
        if comparison.statistic == statistic:
            return _read(name, treatment, comparison)
    return Finding(name, Standing.UNKNOWN, f"{name}: the report has no comparison of it")


def _read(name: str, treatment: str, comparison: Comparison) -> Finding:
    if not comparison.HasField("estimate"):
        return Finding(name, Standing.UNKNOWN, f"{name}: {comparison.not_estimable}")
    figures = _figures(comparison)
    match comparison.estimate.better:
        case report_service_pb2.BETTER_TREATMENT:
            return Finding(name, Standing.BETTER, f"{treatment} is better on {name}: {figures}")
        case report_service_pb2.BETTER_CONTROL:
            return Finding(name, Standing.WORSE, f"{treatment} is worse on {name}: {figures}")
        case report_service_pb2.BETTER_NEITHER:
            text = f"no difference on {name} is shown: {figures}"
            return Finding(name, Standing.NO_DIFFERENCE, text)
    return Finding(name, Standing.UNKNOWN, f"{name}: which way is better is not known: {figures}")


def _figures(comparison: Comparison) -> str:
    estimate = comparison.estimate
    if estimate.HasField("relative_lower"):
        difference = _percent(estimate.relative_difference)
        lower, upper = _percent(estimate.relative_lower), _percent(estimate.relative_upper)
    else:
        difference = f"{estimate.difference:+.4g}"
        lower, upper = f"{estimate.difference_lower:+.4g}", f"{estimate.difference_upper:+.4g}"
    chance = p_value(estimate.p_value)
    p = f"p {chance}" if chance.startswith("<") else f"p = {chance}"
    show = _rate if comparison.outcome == ERROR else number
    change = f"{show(estimate.control)} → {show(estimate.treatment)}"
    return f"{change}, {difference} (95 % interval {lower} … {upper}, {p})"


def _rate(value: float) -> str:
    return f"{value * 100:.2f} %"


def _percent(value: float) -> str:
    return f"{value * 100:+.1f} %"
