import json
from pathlib import Path

import grpc
import pytest
from rich.console import Console

from tests.server.cli.conftest import Cli
from tidegate.v1 import flag_pb2, report_service_pb2
from tidegate_server.cli import report as report_command
from tidegate_server.cli.connection import CallRefused, ServerUnreachable
from tidegate_server.cli.report_tables import show_report
from tidegate_server.report_text import number, p_value

LOWER = flag_pb2.DIRECTION_LOWER_IS_BETTER
HIGHER = flag_pb2.DIRECTION_HIGHER_IS_BETTER


def summary(outcome: str, mean: float, **others: float) -> report_service_pb2.OutcomeSummary:
    quantiles = {"p50": mean, "p90": 1.8 * mean, "p95": 2 * mean, "p99": 3 * mean}
    figures = {**quantiles, "rate_per_second": 40.0, **others}
    return report_service_pb2.OutcomeSummary(
        outcome=outcome,
        count=12_345,
        mean=mean,
        direction=HIGHER if outcome == "rating" else LOWER,
        **figures,
    )


def a_report() -> report_service_pb2.Report:
    return report_service_pb2.Report(
        flag_key="chat-model",
        revision=7,
        current_phase=5,
        control="v1",
        phases=[3, 5],
        variants=[
            report_service_pb2.VariantReport(
                variant="v1",
                share_ppm=950_000,
                units=1234.4,
                exposures=1_300,
                outcomes=[
                    summary("error", 0.0123, standard_deviation=0.11),
                    summary("latency_ms", 250, standard_deviation=31.25),
                    summary("rating", 3.5),
                ],
            ),
            report_service_pb2.VariantReport(
                variant="v2", share_ppm=50_000, units=65, exposures=70, dropped_events=9
            ),
        ],
        comparisons=[
            report_service_pb2.Comparison(
                treatment="v2",
                outcome="latency_ms",
                statistic=report_service_pb2.STATISTIC_P95,
                direction=LOWER,
                estimate=report_service_pb2.Estimate(
                    control=500,
                    treatment=400,
                    difference=-100,
                    relative_difference=-0.2,
                    relative_lower=-0.25,
                    relative_upper=-0.15,
                    p_value=1e-9,
                    better=report_service_pb2.BETTER_TREATMENT,
                    always_valid=report_service_pb2.AlwaysValid(
                        p_value=2e-3, better=report_service_pb2.BETTER_TREATMENT
                    ),
                ),
            ),
            report_service_pb2.Comparison(
                treatment="v2",
                outcome="error",
                statistic=report_service_pb2.STATISTIC_MEAN,
                direction=LOWER,
                estimate=report_service_pb2.Estimate(
                    control=0,
                    treatment=0.02,
                    difference=0.02,
                    difference_lower=0.01,
                    difference_upper=0.03,
                    p_value=0.0123,
                    cohens_d=0.31,
                    effect_size=report_service_pb2.EFFECT_SIZE_SMALL,
                    better=report_service_pb2.BETTER_CONTROL,
                ),
            ),
            report_service_pb2.Comparison(
                treatment="v2",
                outcome="rating",
                statistic=report_service_pb2.STATISTIC_MEAN,
                direction=HIGHER,
                not_estimable="v2 has no rating",
            ),
        ],
    )


def shown(report: report_service_pb2.Report) -> str:
    console = Console(width=300, color_system=None)
    with console.capture() as capture:
        console.print(show_report(report))
    return capture.get()


def rows(report: report_service_pb2.Report) -> list[list[str]]:
    """Return the cells of every line of the tables."""
    lines = shown(report).splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_variants_are_shown_with_the_figures_that_matter() -> None:
    table = rows(a_report())
    assert table[0] == [
        *("v1", "95 %", "1,234", "1,300", "0", "40", "250", "450", "500", "750", "1.23%", "3.5"),
    ]
    assert table[1] == ["v2", "5 %", "65", "70", "9", *["–"] * 7]


def test_outcomes_are_shown_one_line_each() -> None:
    table = rows(a_report())
    assert table[2] == ["error", "v1", "12,345", "1.23%", "0.11", *["–"] * 4, "40", "lower"]
    assert table[3][:5] == ["latency_ms", "v1", "12,345", "250", "31.25"]
    assert table[4] == [
        "rating",
        "v1",
        "12,345",
        "3.5",
        "–",
        "3.5",
        "6.3",
        "7",
        "10.5",
        "40",
        "higher",
    ]


def test_comparisons_name_who_is_better() -> None:
    table = rows(a_report())
    assert table[5] == [
        *("v2", "latency_ms p95", "500", "400", "-20.0%", "-25.0% … -15.0%", "< 0.0001", "0.002"),
        *("–", "v2"),
    ]
    assert table[6] == [
        *("v2", "error mean", "0.00%", "2.00%", "+0.02", "+0.01 … +0.03", "0.012", "–"),
        *("+0.31 small", "v1 (one look)"),
    ]


def test_doubts_about_the_data_are_shown() -> None:
    report = a_report()
    assert "data: nothing lost" not in shown(report)
    report.quality.sample_ratio_p_value = 0.25
    assert "units split as promised (p 0.25)" in shown(report)
    report.quality.faults.append("some 50 units were seen in both variants")
    assert "in doubt: some 50 units were seen in both variants" in shown(report)
    assert "as promised" not in shown(report)


def test_what_cannot_be_estimated_is_named_with_its_cause() -> None:
    report = a_report()
    more = report.comparisons.add()
    more.CopyFrom(report.comparisons[2])
    more.statistic = report_service_pb2.STATISTIC_P95
    console = Console(width=300, color_system=None)
    with console.capture() as capture:
        console.print(show_report(report))
    assert "not estimable: v2 rating mean, rating p95: v2 has no rating\n" in capture.get()
    assert len(rows(report)) == 7


def test_a_difference_without_a_relative_interval_is_shown_as_it_is() -> None:
    report = a_report()
    for field in ("relative_lower", "relative_upper"):
        report.comparisons[0].estimate.ClearField(field)
    report.comparisons[0].estimate.difference_lower = -150
    report.comparisons[0].estimate.difference_upper = -50
    assert rows(report)[5][4:6] == ["-100", "-150 … -50"]


@pytest.mark.parametrize(
    ("better", "shown"),
    [
        (report_service_pb2.BETTER_NEITHER, "neither"),
        (report_service_pb2.BETTER_UNSPECIFIED, "unknown"),
    ],
)
def test_undecided_comparisons_say_so(
    better: report_service_pb2.Better.ValueType, shown: str
) -> None:
    report = a_report()
    report.comparisons[0].estimate.better = better
    assert rows(report)[5][-1] == shown


def test_a_report_without_outcomes_says_so() -> None:
    report = a_report()
    del report.variants[0].outcomes[:]
    del report.phases[:]
    console = Console(width=300, color_system=None)
    with console.capture() as capture:
        console.print(show_report(report))
    assert "no outcomes have been reported yet" in capture.get()
    assert "phases with data: none" in capture.get()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1.23456, "1.235"), (999.96, "1000"), (1234.5, "1,234"), (float("nan"), "–")],
)
def test_figures_have_four_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (0.0456, "0.046"), (0.0001, "0.0001"), (0.00009, "< 0.0001")]
)
def test_p_values_have_two_digits(value: float, text: str) -> None:
    assert p_value(value) == text


@pytest.fixture
def flag(tidegate: Cli, tmp_path: Path) -> str:
    file = tmp_path / "flag.yaml"
    file.write_text("flag: reported\ndefault: a\nvariants: {a: {}, b: {}}\nsplit: {a: 50, b: 50}\n")
    tidegate("flag", "apply", str(file))
    return "reported"


def test_a_report_is_fetched_and_shown(tidegate: Cli, flag: str) -> None:
    code, out, err = tidegate("report", flag, "--control", "b")
    assert (code, err) == (0, "")
    assert "no outcomes have been reported yet" in out


def test_a_report_is_printed_as_json(tidegate: Cli, flag: str) -> None:
    code, out, _ = tidegate("report", flag, "--output", "json")
    assert code == 0
    assert json.loads(out)["flag_key"] == flag
    assert json.loads(out)["comparisons"] == []


def test_an_unknown_flag_is_one_clear_line(tidegate: Cli, flag: str) -> None:
    code, out, err = tidegate("report", flag[:-1])
    assert (code, out) == (1, "")
    assert err == f"error: flag {flag[:-1]!r} is not known; did you mean {flag!r}?\n"


def test_json_is_not_shown_live(cli: Cli) -> None:
    code, _, err = cli("report", "f", "--watch", "--output", "json")
    assert code == 2
    assert "cannot be shown live" in err


def test_watch_goes_on_while_the_server_is_away(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(
        [
            a_report(),
            ServerUnreachable("cannot reach it"),
            a_report(),
            CallRefused("flag 'f' is not known", grpc.StatusCode.NOT_FOUND),
        ]
    )

    def fetch(server: str, request: report_service_pb2.GetReportRequest) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(report_command, "_fetch", fetch)
    monkeypatch.setattr(report_command, "_WATCH_SECONDS", 0)
    code, _, err = cli("report", "f", "--watch")
    assert (code, err) == (1, "error: flag 'f' is not known\n")
    assert next(answers, None) is None
