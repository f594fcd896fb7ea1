"""The demo's verdict follows the report, whatever it says."""

import pytest

from tidegate.v1 import report_service_pb2
from tidegate_server.cli.demo.verdict import Standing, judge

BETTER = report_service_pb2.BETTER_TREATMENT
WORSE = report_service_pb2.BETTER_CONTROL
NEITHER = report_service_pb2.BETTER_NEITHER


def comparison(
    outcome: str,
    better: report_service_pb2.Better.ValueType,
    statistic: report_service_pb2.Statistic.ValueType = report_service_pb2.STATISTIC_MEAN,
) -> report_service_pb2.Comparison:
    return report_service_pb2.Comparison(
        treatment="v2",
        outcome=outcome,
        statistic=statistic,
        estimate=report_service_pb2.Estimate(
            control=4.0,
            treatment=4.4,
            difference=0.4,
            difference_lower=-0.1,
            difference_upper=0.9,
            relative_difference=0.1,
            relative_lower=0.08,
            relative_upper=0.125,
            p_value=0.00001,
            better=better,
        ),
    )


def report(
    rating: report_service_pb2.Better.ValueType,
    error: report_service_pb2.Better.ValueType = NEITHER,
    latency: report_service_pb2.Better.ValueType = NEITHER,
) -> report_service_pb2.Report:
    p50, p95 = report_service_pb2.STATISTIC_P50, report_service_pb2.STATISTIC_P95
    return report_service_pb2.Report(
        control="v1",
        comparisons=[
            comparison("rating", NEITHER, p50),
            comparison("rating", rating),
            comparison("error", error),
            comparison("latency_ms", BETTER),
            comparison("latency_ms", latency, p95),
        ],
    )


@pytest.mark.parametrize(
    ("given", "conclusion"),
    [
        (
            report(BETTER),
            (
                "v2 is better on rating, and not shown to be worse on error or latency_ms p95: "
                "v2 can go on"
            ),
        ),
        (
            report(BETTER, latency=WORSE),
            "v2 is better on rating, but worse on latency_ms p95: weigh one against the other",
        ),
        (
            report(BETTER, error=WORSE, latency=WORSE),
            (
                "v2 is better on rating, but worse on error and latency_ms p95: "
                "weigh one against the other"
            ),
        ),
        (report(NEITHER), "v2 is not shown to be better on rating: stay with v1"),
        (report(WORSE, latency=BETTER), "v2 is worse on rating: stay with v1"),
    ],
    ids=["better", "at a price", "at two prices", "equal", "worse"],
)
def test_the_conclusion_follows_the_comparisons(
    given: report_service_pb2.Report, conclusion: str
) -> None:
    assert judge(given, "v2").conclusion == conclusion


def test_findings_give_difference_interval_and_p_value() -> None:
    goal = judge(report(BETTER), "v2").findings[0]
    assert goal.standing is Standing.BETTER
    assert goal.text == (
        "v2 is better on rating: 4 → 4.4, +10.0 % (95 % interval +8.0 % … +12.5 %, p < 0.0001)"
    )


def test_an_error_rate_is_given_in_percent() -> None:
    given = report(BETTER)
    for item in given.comparisons:
        item.estimate.control, item.estimate.treatment = 0.0123, 0.01
    finding = judge(given, "v2").findings[1]
    assert finding.text.startswith("no difference on error is shown: 1.23 % → 1.00 %, ")


def test_without_a_relative_interval_the_absolute_one_is_given() -> None:
    given = report(NEITHER)
    for item in given.comparisons:
        for field in ("relative_lower", "relative_upper"):
            item.estimate.ClearField(field)
        item.estimate.p_value = 0.25
    goal = judge(given, "v2").findings[0]
    assert goal.text == (
        "no difference on rating is shown: 4 → 4.4, +0.4 (95 % interval -0.1 … +0.9, p = 0.25)"
    )


def test_what_is_not_estimable_is_said_with_its_cause() -> None:
    given = report(BETTER)
    for item in given.comparisons:
        if item.outcome == "rating":
            item.ClearField("estimate")
            item.not_estimable = "too few units"
    verdict = judge(given, "v2")
    assert verdict.conclusion == "nothing can be said yet: rating: too few units"


def test_a_guardrail_of_which_nothing_is_known_is_not_passed() -> None:
    given = report(BETTER)
    kept = [item for item in given.comparisons if item.outcome != "error"]
    verdict = judge(report_service_pb2.Report(control="v1", comparisons=kept), "v2")
    assert (
        verdict.conclusion
        == "v2 is better on rating, but nothing can be said on error: gather more"
    )


def test_another_treatments_comparison_is_not_read() -> None:
    assert judge(report(BETTER), "v3").conclusion.startswith("nothing can be said yet")
