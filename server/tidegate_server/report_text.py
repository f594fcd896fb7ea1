"""Reports as text: the same figures, written alike, on the command line and on the dashboard."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from tidegate.v1 import flag_pb2, report_service_pb2
from tidegate_server.domain.checks import percent

ERROR = "error"
"""The outcome that is 0 or 1, whose mean is a rate."""

LATENCY = "latency_ms"
NOTHING = "–"

QUANTILES = ("p50", "p90", "p95", "p99")
OUTCOME_COLUMNS = ("count", "mean", "deviation", *QUANTILES, "per second", "better")
COMPARISON_COLUMNS = (
    *("control", "treated", "difference", "95 % interval"),
    *("p, one look", "p, any look", "Cohen's d"),
)

_STATISTICS = {
    report_service_pb2.STATISTIC_MEAN: "mean",
    report_service_pb2.STATISTIC_P50: "p50",
    report_service_pb2.STATISTIC_P90: "p90",
    report_service_pb2.STATISTIC_P95: "p95",
    report_service_pb2.STATISTIC_P99: "p99",
}
_EFFECT_SIZES = {
    report_service_pb2.EFFECT_SIZE_NEGLIGIBLE: "negligible",
    report_service_pb2.EFFECT_SIZE_SMALL: "small",
    report_service_pb2.EFFECT_SIZE_MEDIUM: "medium",
    report_service_pb2.EFFECT_SIZE_LARGE: "large",
}
_DIRECTIONS = {
    flag_pb2.DIRECTION_LOWER_IS_BETTER: "lower",
    flag_pb2.DIRECTION_HIGHER_IS_BETTER: "higher",
}


class Better(NamedTuple):
    """Who is better. sign: 1 the treatment, -1 the control, both at any look; 0: not so sure."""

    text: str
    sign: int


def number(value: float) -> str:
    """Write a figure with four digits, or all those before the point."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def p_value(value: float) -> str:
    """Write a p-value with two digits that count, down to 0.0001."""
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def figure(outcome: str, value: float) -> str:
    """Write a mean of an outcome."""
    return f"{value:.2%}" if outcome == ERROR else number(value)


def relative(value: float) -> str:
    """Write a relative difference."""
    return f"{value:+.1%}"


def variant_columns(report: report_service_pb2.Report) -> list[str]:
    """Return what `variant_cells` tells of each variant."""
    columns = ["share", "units", "exposures", "dropped", "QPS"]
    columns += [f"{each} ms" for each in QUANTILES]
    return [*columns, "error rate", *_others(report)]


def _others(report: report_service_pb2.Report) -> list[str]:
    names = {item.outcome for variant in report.variants for item in variant.outcomes}
    return sorted(names - {ERROR, LATENCY})


def variant_cells(
    report: report_service_pb2.Report, variant: report_service_pb2.VariantReport
) -> list[str]:
    """Write traffic, latency, errors and the means of the rest."""
    by_name = {item.outcome: item for item in variant.outcomes}
    latency = by_name.get(LATENCY)
    rates = [item.rate_per_second for item in variant.outcomes]
    return [
        percent(variant.share_ppm),
        f"{variant.units:,.0f}" if variant.HasField("units") else "too many",
        f"{variant.exposures:,}",
        f"{variant.dropped_events:,}",
        number(max(rates)) if rates else NOTHING,
        *_quantiles(latency),
        *(
            figure(name, by_name[name].mean) if name in by_name else NOTHING
            for name in (ERROR, *_others(report))
        ),
    ]


def _quantiles(item: report_service_pb2.OutcomeSummary | None) -> list[str]:
    return [NOTHING if item is None else number(getattr(item, name)) for name in QUANTILES]


def outcomes(
    report: report_service_pb2.Report,
) -> list[tuple[report_service_pb2.OutcomeSummary, str]]:
    """Return each outcome with its variant, by outcome, the control's first."""
    rows = [(item, variant.variant) for variant in report.variants for item in variant.outcomes]
    return sorted(rows, key=lambda row: row[0].outcome)


def outcome_cells(item: report_service_pb2.OutcomeSummary) -> list[str]:
    """Write OUTCOME_COLUMNS."""
    return [
        f"{item.count:,}",
        figure(item.outcome, item.mean),
        number(item.standard_deviation) if item.HasField("standard_deviation") else NOTHING,
        *_quantiles(None if item.outcome == ERROR else item),
        number(item.rate_per_second) if item.HasField("rate_per_second") else NOTHING,
        _DIRECTIONS.get(item.direction, NOTHING),
    ]


def metric(comparison: report_service_pb2.Comparison) -> str:
    """Write what is compared."""
    return f"{comparison.outcome} {_STATISTICS.get(comparison.statistic, '')}".rstrip()


def comparison_cells(comparison: report_service_pb2.Comparison) -> list[str]:
    """Write COMPARISON_COLUMNS of a comparison that has an estimate."""
    estimate = comparison.estimate
    if estimate.HasField("relative_lower"):
        difference = relative(estimate.relative_difference)
        interval = f"{relative(estimate.relative_lower)} … {relative(estimate.relative_upper)}"
    else:
        difference = f"{estimate.difference:+.4g}"
        interval = f"{estimate.difference_lower:+.4g} … {estimate.difference_upper:+.4g}"
    size = _EFFECT_SIZES.get(estimate.effect_size, "")
    return [
        figure(comparison.outcome, estimate.control),
        figure(comparison.outcome, estimate.treatment),
        difference,
        interval,
        p_value(estimate.p_value),
        p_value(estimate.always_valid.p_value) if estimate.HasField("always_valid") else NOTHING,
        f"{estimate.cohens_d:+.2f} {size}" if estimate.HasField("cohens_d") else NOTHING,
    ]


def better(report: report_service_pb2.Report, comparison: report_service_pb2.Comparison) -> Better:
    """Say who is better, if anybody."""
    estimate = comparison.estimate
    at_any_look = estimate.better == estimate.always_valid.better
    note = "" if at_any_look else " (one look)"
    match estimate.better:
        case report_service_pb2.BETTER_TREATMENT:
            return Better(comparison.treatment + note, 1 if at_any_look else 0)
        case report_service_pb2.BETTER_CONTROL:
            return Better(report.control + note, -1 if at_any_look else 0)
        case report_service_pb2.BETTER_NEITHER:
            return Better("neither", 0)
    return Better("unknown", 0)


def not_estimable(report: report_service_pb2.Report) -> Iterator[str]:
    """Yield a line for each cause: what can't be compared, and why."""
    by_cause: dict[tuple[str, str], list[str]] = {}
    for item in report.comparisons:
        if not item.HasField("estimate"):
            by_cause.setdefault((item.treatment, item.not_estimable), []).append(metric(item))
    for (treatment, cause), metrics in by_cause.items():
        yield f"not estimable: {treatment} {', '.join(metrics)}: {cause}"


def no_fault(quality: report_service_pb2.Quality) -> str:
    """Say that nothing puts the comparisons in doubt; empty where that is not known or not so."""
    if quality.faults or not quality.HasField("sample_ratio_p_value"):
        return ""
    chance = p_value(quality.sample_ratio_p_value)
    return f"data: nothing lost or mixed up; units split as promised (p {chance})"
