"""What the analysis shows."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.server.cli.test_report import a_report
from tests.server.dashboard.tables import column, every_cell_is_json, texts
from tidegate.v1 import report_service_pb2
from tidegate_server import report_text
from tidegate_server.dashboard.views import analysis
from tidegate_server.experiment_text import Tone


def test_comparisons_have_figures_and_a_drawing() -> None:
    report = a_report()
    table = analysis.comparisons_table(report)
    every_cell_is_json(table)
    assert column(table, "metric") == ["latency_ms p95", "error mean"]
    latency = table.rows[0]
    forest = latency.cells[6]
    assert (forest["low"], forest["at"], forest["high"]) == (-0.25, -0.2, -0.15)
    assert forest["min"] <= -0.25 < 0 < forest["max"]
    assert forest["tone"] is Tone.GOOD
    assert texts(table)[1][6] == "–", "no relative difference, no drawing"
    shown = texts(table)[0]
    assert [*shown[2:6], *shown[7:10]] == report_text.comparison_cells(report.comparisons[0])
    assert analysis.comparisons_table(None).rows == []


def test_outcomes_are_those_of_the_report() -> None:
    report = a_report()
    table = analysis.outcomes_table(report)
    expected = [report_text.outcome_cells(item) for item, _ in report_text.outcomes(report)]
    assert [row[2:] for row in texts(table)] == expected
    assert analysis.outcome_names(report) == ["error", "latency_ms", "rating"]
    assert analysis.outcome_names(None) == []


def test_what_puts_comparisons_in_doubt_is_said() -> None:
    report = a_report()
    report.quality.faults.append("events were lost")
    said = list(analysis.quality_lines(report))
    assert [each.tone for each in said] == [Tone.BAD, Tone.WARN]
    del report.quality.faults[:]
    report.quality.sample_ratio_p_value = 0.25
    assert next(analysis.quality_lines(report)).tone is Tone.GOOD
    assert list(analysis.quality_lines(None)) == []


def distribution(
    variant: str, bins: Sequence[tuple[float, float, int]], **fields: Any
) -> report_service_pb2.Distribution:
    made = report_service_pb2.Distribution(
        variant=variant, count=sum(count for _, _, count in bins), **fields
    )
    for lower, upper, count in bins:
        made.bins.add(lower=lower, upper=upper, count=count)
    return made


def test_a_distribution_keeps_all_values_that_are_in_sight() -> None:
    bins = [(10.0 * 1.01**n, 10.0 * 1.01 ** (n + 1), n + 1) for n in range(200)]
    percentiles = [10.0 + n * (10 * 1.01**200 - 10) / 98 for n in range(99)]
    made = analysis.distribution_chart(
        [distribution("v2", bins, percentiles=percentiles)], ["v1", "v2"]
    )
    (series,) = made["series"]
    assert sum(value for _, value in series["data"]) == pytest.approx(100, abs=0.1)
    assert len(series["data"]) == analysis.BINS + 1
    assert series["itemStyle"]["color"] == "#d55e00", "the second variant's"


def test_few_exact_values_are_shown_as_they_are() -> None:
    made = analysis.distribution_chart([distribution("v1", [(1.0, 1.0, 1), (5.0, 5.0, 3)])], ["v1"])
    assert made["xAxis"]["data"] == ["1", "5"]
    assert made["series"][0]["data"] == [25.0, 75.0]
    assert analysis.distribution_chart(None, [])["series"] == []


def test_percentiles_are_compared_with_the_controls() -> None:
    found = [
        distribution("v1", [(1.0, 2.0, 1)], percentiles=[float(n) for n in range(99)]),
        distribution("v2", [(1.0, 2.0, 1)], percentiles=[n + 0.5 for n in range(99)]),
    ]
    made = analysis.differences_chart(found, a_report(), "latency_ms", ["v1", "v2"])
    line, interval = made["series"]
    assert {value for _, value in line["data"]} == {0.5}
    assert [place for place, _ in interval["data"]] == [95.0, 95.0]
    assert analysis.differences_chart(None, None, "", [])["series"] == []
