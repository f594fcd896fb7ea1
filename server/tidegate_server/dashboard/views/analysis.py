"""What the analysis of a flag shows."""

from collections.abc import Iterator, Sequence

from tidegate.v1 import report_service_pb2
from tidegate_server import report_text
from tidegate_server.dashboard import cells, charts
from tidegate_server.dashboard.cells import Column, Row, Scale, Table
from tidegate_server.dashboard.charts import Options
from tidegate_server.dashboard.environment import Distributions, Report
from tidegate_server.experiment_text import Said, Tone

BINS = 60
"""Bars of a distribution whose values are not few."""

FEW_VALUES = 40

_TONES = {1: Tone.GOOD, 0: Tone.PLAIN, -1: Tone.BAD}
_PERCENTILES = {
    report_service_pb2.STATISTIC_P50: 50.0,
    report_service_pb2.STATISTIC_P90: 90.0,
    report_service_pb2.STATISTIC_P95: 95.0,
    report_service_pb2.STATISTIC_P99: 99.0,
}

Points = list[tuple[float, float]]


def comparisons_table(report: Report | None) -> Table:
    """Lay out every comparison with the control, its intervals drawn beside its figures."""
    found = [each for each in (report.comparisons if report else ()) if each.HasField("estimate")]
    scale = _scale(found)
    numbers = [Column(name, number=True) for name in report_text.COMPARISON_COLUMNS]
    return Table(
        f"Comparisons with {report.control}" if report else "Comparisons",
        [
            Column("metric"),
            Column("variant"),
            *numbers[:4],
            Column(
                f"relative difference, ±{scale.high:.0%}",
                help="Thick: 95 % for one look; thin: however often one looks",
            ),
            *numbers[4:],
            Column("better"),
        ],
        [_comparison(report, each, scale) for each in found] if report else [],
        "Nothing can be compared yet: two variants need events of one outcome.",
    )


def _comparison(report: Report, each: report_service_pb2.Comparison, scale: Scale) -> Row:
    figures = [cells.text(text) for text in report_text.comparison_cells(each)]
    better = report_text.better(report, each)
    tone = _TONES[better.sign]
    metric = report_text.metric(each)
    return Row(
        f"{each.treatment} {metric}",
        [
            cells.text(metric),
            cells.text(each.treatment),
            *figures[:4],
            _forest(each.estimate, scale, tone),
            *figures[4:],
            cells.text(better.text, tone),
        ],
        tone=tone,
    )


def _forest(estimate: report_service_pb2.Estimate, scale: Scale, tone: Tone) -> cells.Json:
    if not estimate.HasField("relative_lower"):
        return cells.text(report_text.NOTHING)
    bounds = (estimate.relative_lower, estimate.relative_upper)
    wide = bounds
    if estimate.always_valid.HasField("relative_lower"):
        wide = (estimate.always_valid.relative_lower, estimate.always_valid.relative_upper)
    words = " … ".join(map(report_text.relative, bounds))
    return cells.interval(words, estimate.relative_difference, bounds, wide, scale, tone)


def _scale(found: Sequence[report_service_pb2.Comparison]) -> Scale:
    """Return a scale, even about 0, that shows all intervals for one look."""
    ends = [
        abs(end)
        for each in found
        if each.estimate.HasField("relative_lower")
        for end in (each.estimate.relative_lower, each.estimate.relative_upper)
    ]
    most = min(max(ends, default=0.1) * 1.15, 2.0)
    return Scale(-most, most)


def outcomes_table(report: Report | None) -> Table:
    """Lay out what is known of each outcome under each variant."""
    columns = report_text.OUTCOME_COLUMNS
    rows = report_text.outcomes(report) if report else []
    return Table(
        "Outcomes",
        [
            Column("outcome"),
            Column("variant"),
            *(Column(name, number=name != "better") for name in columns),
        ],
        [
            Row(
                f"{item.outcome} {variant}",
                [
                    cells.text(item.outcome),
                    cells.text(variant),
                    *map(cells.text, report_text.outcome_cells(item)),
                ],
            )
            for item, variant in rows
        ],
        "No outcome was reported yet. Applications report them with",
        "choice.track(latency_ms=120)",
    )


def quality_lines(report: Report | None) -> Iterator[Said]:
    """Yield what puts the comparisons in doubt, what can't be told, or that nothing does."""
    if report is None:
        return
    for fault in report.quality.faults:
        yield Said(f"In doubt: {fault}", Tone.BAD)
    if line := report_text.no_fault(report.quality):
        yield Said(line, Tone.GOOD)
    for line in report_text.not_estimable(report):
        yield Said(line, Tone.WARN)


def outcome_names(report: Report | None) -> list[str]:
    """Return the outcomes that there are."""
    if report is None:
        return []
    return sorted({item.outcome for each in report.variants for item in each.outcomes})


def distribution_chart(found: Distributions | None, variants: Sequence[str]) -> Options:
    """Return how the values lie. variants: in the order of their colours."""
    known = [each for each in found or () if each.bins]
    discrete = all(bin_.lower == bin_.upper for each in known for bin_ in each.bins) and all(
        len(each.bins) <= FEW_VALUES for each in known
    )
    if discrete:
        points = [[(bin_.lower, bin_.count / each.count) for bin_ in each.bins] for each in known]
    else:
        low = min((each.percentiles[0] for each in known), default=0.0)
        high = max((each.percentiles[-1] for each in known), default=1.0)
        points = [_binned(each, low, high) for each in known]
    lines = [
        (each.variant, _place(each.variant, variants), own)
        for each, own in zip(known, points, strict=True)
    ]
    return charts.density_chart(lines, discrete=discrete)


def _binned(found: report_service_pb2.Distribution, low: float, high: float) -> Points:
    """Return the part of the values in each of BINS equal stretches, by where it begins.

    A bin of the histogram that lies in several of them is shared out by length.
    """
    width = (high - low) / BINS or 1.0
    parts = [0.0] * BINS
    for each in found.bins:
        begin, end = (each.lower - low) / width, (each.upper - low) / width
        length = max(end - begin, 1e-9)
        for place in range(max(0, int(begin)), min(BINS - 1, int(end)) + 1):
            inside = min(end, place + 1) - max(begin, place)
            parts[place] += each.count * max(inside, 1e-9) / length
    return [
        *((low + place * width, part / found.count) for place, part in enumerate(parts)),
        (high, 0.0),
    ]


def differences_chart(
    found: Distributions | None, report: Report | None, outcome: str, variants: Sequence[str]
) -> Options:
    """Return how much each percentile differs from the control's, and intervals where known."""
    control = report.control if report else ""
    percentiles = {each.variant: each.percentiles for each in found or ()}
    base = percentiles.get(control)
    lines = [
        (
            name,
            _place(name, variants),
            [theirs - ours for theirs, ours in zip(own, base, strict=True)],
        )
        for name, own in percentiles.items()
        if base is not None and name != control
    ]
    intervals = [
        (
            _place(each.treatment, variants),
            _PERCENTILES[each.statistic],
            each.estimate.difference_lower,
            each.estimate.difference_upper,
        )
        for each in (report.comparisons if report else ())
        if each.outcome == outcome and each.statistic in _PERCENTILES and each.HasField("estimate")
    ]
    return charts.quantile_chart(lines, intervals)


def _place(variant: str, variants: Sequence[str]) -> int:
    return list(variants).index(variant) if variant in variants else len(variants)
