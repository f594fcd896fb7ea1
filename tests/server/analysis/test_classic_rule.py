"""The classic rule, evaluated once; and the customary use of it, to show what that does."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from tests.server.analysis.simulation import requests, users
from tidegate_server.analysis.classic_rule import ClassicRule, judge_once
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.decision import Verdict
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import bare_figure


def estimate(treatment: float, error: float = 0.1) -> Estimate:
    result = compare(bare_figure(10.0, error, error, 99), bare_figure(treatment, error, error, 99))
    assert isinstance(result, Estimate)
    return result


@pytest.mark.parametrize(
    ("treatment", "error", "verdict"),
    [
        (11.0, 0.1, Verdict.WIN),
        (10.4, 0.1, Verdict.FLAT),
        (11.0, 1.0, Verdict.FLAT),
        (9.0, 0.1, Verdict.LOSE),
        (9.6, 0.1, Verdict.FLAT),
    ],
)
def test_at_the_planned_size(treatment: float, error: float, verdict: Verdict) -> None:
    found, samples = estimate(treatment, error), (2_000, 2_000)
    rule = ClassicRule(planned=2_000)
    assert judge_once(rule, found, samples, higher_is_better=True).verdict is verdict
    turned = {Verdict.WIN: Verdict.LOSE, Verdict.LOSE: Verdict.WIN}.get(verdict, verdict)
    assert judge_once(rule, found, samples, higher_is_better=False).verdict is turned


@pytest.mark.parametrize(
    ("planned", "samples"), [(2_000, (1_999, 9_000)), (10, (999, 999)), (10, (0, 0))]
)
def test_not_before_the_planned_size_nor_below_a_thousand(
    planned: int, samples: tuple[int, int]
) -> None:
    result = judge_once(ClassicRule(planned), estimate(12.0), samples, higher_is_better=True)
    assert result.verdict is Verdict.INSUFFICIENT
    assert "not evaluated yet" in result.reasons[0]


def test_what_cannot_be_computed_decides_nothing() -> None:
    rule, samples = ClassicRule(1_000), (1_000, 1_000)
    constant = judge_once(rule, NotEstimable(Cause.ZERO_VARIANCE), samples, higher_is_better=True)
    zero = compare(bare_figure(0.0, 0.0, 0.1, 99), bare_figure(1.0, 0.1, 0.1, 99))
    without_ratio = judge_once(rule, zero, samples, higher_is_better=True)
    assert constant.verdict is without_ratio.verdict is Verdict.INSUFFICIENT
    assert without_ratio.reasons == ("the control's figure is 0",)


def test_what_customary_use_of_it_does() -> None:
    """A t-test over requests, looked at 100 times, promoting or rolling back above 5 %.

    The same users, without any difference: nearly every run ends in a decision.
    """
    rng, runs, looks, decided = np.random.default_rng(1), 60, 100, 0
    for _ in range(runs):
        arms = [requests(rng, users(rng, 1_000), 20)[1] for _ in range(2)]
        for part in (np.arange(looks) + 1) / looks:
            seen = [values[: int(part * values.size)] for values in arms]
            if min(each.size for each in seen) < 1_000:
                continue
            difference = seen[1].mean() - seen[0].mean()
            error = math.sqrt(sum(each.var(ddof=1) / each.size for each in seen))
            if (
                2 * ndtr(-abs(difference) / error) < 0.05
                and abs(difference) > 0.05 * seen[0].mean()
            ):
                decided += 1
                break
    assert decided / runs > 0.8
