"""Reports as tables."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from tidegate.v1 import report_service_pb2
from tidegate_server import report_text
from tidegate_server.cli.render import new_table

_BETTER_STYLES = {1: "green", 0: "", -1: "red"}


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
    if line := report_text.no_fault(quality):
        yield Text(line)


def show_variants(report: report_service_pb2.Report) -> RenderableType:
    """Lay out one line for each variant: traffic, latency, errors and the means of the rest."""
    columns = report_text.variant_columns(report)
    table = new_table("variant", *columns, numbers=columns, title="Variants")
    for variant in report.variants:
        table.add_row(Text(variant.variant), *report_text.variant_cells(report, variant))
    return table


def _outcomes(report: report_service_pb2.Report) -> RenderableType:
    columns = report_text.OUTCOME_COLUMNS
    table = new_table("outcome", "variant", *columns, numbers=columns[:-1], title="Outcomes")
    for item, variant in report_text.outcomes(report):
        table.add_row(Text(item.outcome), Text(variant), *report_text.outcome_cells(item))
    return table


def _comparisons(report: report_service_pb2.Report) -> RenderableType:
    columns = report_text.COMPARISON_COLUMNS
    table = new_table(
        *("variant", "metric", *columns, "better"),
        numbers=columns[:-1],
        title=f"Against {report.control}",
    )
    for item in report.comparisons:
        if item.HasField("estimate"):
            better = report_text.better(report, item)
            table.add_row(
                Text(item.treatment),
                Text(report_text.metric(item)),
                *report_text.comparison_cells(item),
                Text(better.text, style=_BETTER_STYLES[better.sign]),
            )
    lines = (Text(line, style="yellow") for line in report_text.not_estimable(report))
    return Group(table, *lines)
