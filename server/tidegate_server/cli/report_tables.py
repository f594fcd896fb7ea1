"""Reports as tables."""

import math
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from tidegate.v1 import flag_pb2, report_service_pb2
from tidegate_server.cli.render import new_table
from tidegate_server.domain.checks import percent

ERROR = "error"
"""The outcome that is 0 or 1, whose mean is a rate."""

NOTHING = "–"

_STATISTICS = {
    report_service_pb2.STATISTIC_MEAN: "mean",
    report_service_pb2.STATISTIC_P50: "p50",
    report_service_pb2.STATISTIC_P90: "p90",
    report_service_pb2.STATISTIC_P95: "p95",
    report_service_pb2.STATISTIC_P99: "p99",
}
_QUANTILES = ("p50", "p90", "p95", "p99")
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


def show_report(report: report_service_pb2.Report) -> RenderableType:
    """Lay out a report: the variants, their outcomes, and the comparisons with the control."""
    phases = ", ".join(map(str, report.phases)) or "none"
    head = Text.assemble(
        (report.flag_key, "bold"),
        f"  revision {report.revision}, phase {report.current_phase}, phases with data: {phases}",
    )
    if not any(variant.outcomes for variant in report.variants):
        return Group(head, show_variants(report), Text("no outcomes have been reported yet"))
    tables = (show_variants(report), _outcomes(report), _comparisons(report))
    return Group(head, *tables, *_quality(report.quality))


def _quality(quality: report_service_pb2.Quality) -> Iterator[Text]:
    """Yield what puts the comparisons in doubt, or that nothing does."""
    for fault in quality.faults:
        yield Text(f"in doubt: {fault}", style="bold red")
    if not quality.faults and quality.HasField("sample_ratio_p_value"):
        chance = p_value(quality.sample_ratio_p_value)
        yield Text(f"data: nothing lost or mixed up; units split as promised (p {chance})")


def show_variants(report: report_service_pb2.Report) -> RenderableType:
    """Lay out one line for each variant: traffic, latency, errors and the means of the rest."""
    names = sorted({item.outcome for variant in report.variants for item in variant.outcomes})
    others = [name for name in names if name not in (ERROR, "latency_ms")]
    columns = ["share", "units", "exposures", "dropped", "QPS"]
    columns += [*(f"{each} ms" for each in _QUANTILES), "error rate", *others]
    table = new_table("variant", *columns, numbers=columns, title="Variants")
    for variant in report.variants:
        by_name = {item.outcome: item for item in variant.outcomes}
        latency = by_name.get("latency_ms")
        rates = [item.rate_per_second for item in variant.outcomes]
        table.add_row(
            Text(variant.variant),
            percent(variant.share_ppm),
            f"{variant.units:,.0f}" if variant.HasField("units") else "too many",
            f"{variant.exposures:,}",
            f"{variant.dropped_events:,}",
            number(max(rates)) if rates else NOTHING,
            *(_quantiles(latency) if latency else [NOTHING] * len(_QUANTILES)),
            _mean(by_name.get(ERROR)),
            *(_mean(by_name.get(name)) for name in others),
        )
    return table


def _quantiles(outcome: report_service_pb2.OutcomeSummary) -> list[str]:
    return [number(getattr(outcome, name)) for name in _QUANTILES]


def _mean(outcome: report_service_pb2.OutcomeSummary | None) -> str:
    if outcome is None:
        return NOTHING
    return _figure(outcome.outcome, outcome.mean)


def _outcomes(report: report_service_pb2.Report) -> RenderableType:
    columns = ["count", "mean", "deviation", *_QUANTILES, "per second"]
    table = new_table("outcome", "variant", *columns, "better", numbers=columns, title="Outcomes")
    rows = [(item, variant) for variant in report.variants for item in variant.outcomes]
    for item, variant in sorted(rows, key=lambda row: row[0].outcome):  # keeps control first
        is_rate = item.outcome == ERROR
        quantiles = [NOTHING] * len(_QUANTILES) if is_rate else _quantiles(item)
        table.add_row(
            Text(item.outcome),
            Text(variant.variant),
            f"{item.count:,}",
            _figure(item.outcome, item.mean),
            number(item.standard_deviation) if item.HasField("standard_deviation") else NOTHING,
            *quantiles,
            number(item.rate_per_second) if item.HasField("rate_per_second") else NOTHING,
            _DIRECTIONS.get(item.direction, NOTHING),
        )
    return table


def _comparisons(report: report_service_pb2.Report) -> RenderableType:
    numbers = ["control", "treated", "difference", "95 % interval", "p, one look", "p, any look"]
    table = new_table(
        *("variant", "metric", *numbers, "Cohen's d", "better"),
        numbers=numbers,
        title=f"Against {report.control}",
    )
    for item in report.comparisons:
        if item.HasField("estimate"):
            table.add_row(Text(item.treatment), Text(_metric(item)), *_estimate(report, item))
    return Group(table, *_not_estimable(report))


def _not_estimable(report: report_service_pb2.Report) -> Iterator[Text]:
    """Yield a line for each cause: what can't be compared, and why."""
    by_cause: dict[tuple[str, str], list[str]] = {}
    for item in report.comparisons:
        if not item.HasField("estimate"):
            by_cause.setdefault((item.treatment, item.not_estimable), []).append(_metric(item))
    for (treatment, cause), metrics in by_cause.items():
        yield Text(f"not estimable: {treatment} {', '.join(metrics)}: {cause}", style="yellow")


def _metric(comparison: report_service_pb2.Comparison) -> str:
    return f"{comparison.outcome} {_STATISTICS.get(comparison.statistic, '')}".rstrip()


def _estimate(
    report: report_service_pb2.Report, comparison: report_service_pb2.Comparison
) -> list[RenderableType]:
    estimate = comparison.estimate
    if estimate.HasField("relative_lower"):
        difference = _relative(estimate.relative_difference)
        interval = f"{_relative(estimate.relative_lower)} … {_relative(estimate.relative_upper)}"
    else:
        difference = f"{estimate.difference:+.4g}"
        interval = f"{estimate.difference_lower:+.4g} … {estimate.difference_upper:+.4g}"
    size = _EFFECT_SIZES.get(estimate.effect_size, "")
    effect = f"{estimate.cohens_d:+.2f} {size}" if estimate.HasField("cohens_d") else NOTHING
    return [
        _figure(comparison.outcome, estimate.control),
        _figure(comparison.outcome, estimate.treatment),
        difference,
        interval,
        p_value(estimate.p_value),
        p_value(estimate.always_valid.p_value) if estimate.HasField("always_valid") else NOTHING,
        effect,
        _better(report, comparison),
    ]


def _better(
    report: report_service_pb2.Report, comparison: report_service_pb2.Comparison
) -> RenderableType:
    estimate = comparison.estimate
    at_any_look = estimate.better == estimate.always_valid.better
    note = "" if at_any_look else " (one look)"
    match estimate.better:
        case report_service_pb2.BETTER_TREATMENT:
            return Text(comparison.treatment + note, style="green" if at_any_look else "")
        case report_service_pb2.BETTER_CONTROL:
            return Text(report.control + note, style="red" if at_any_look else "")
        case report_service_pb2.BETTER_NEITHER:
            return "neither"
    return "unknown"


def _figure(outcome: str, value: float) -> str:
    return f"{value:.2%}" if outcome == ERROR else number(value)


def _relative(value: float) -> str:
    return f"{value:+.1%}"


def number(value: float) -> str:
    """Write a figure with four digits, or all those before the point."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def p_value(value: float) -> str:
    """Write a p-value with two digits that count, down to 0.0001."""
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"
