import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.analysis.simulation import monte_carlo_error, outcome, requests, users
from tidegate_server.analysis.aggregates import Cells, Histogram, OutcomeAggregate
from tidegate_server.analysis.confidence_sequence import (
    AlwaysValid,
    Reading,
    Tuning,
    always_valid,
    effective_size,
)
from tidegate_server.analysis.effects import Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.merge import merge_outcomes
from tidegate_server.analysis.quantiles import quantile_figure
from tidegate_server.analysis.sequential_quantile import (
    compare_quantiles,
    quantile_difference,
    quantile_interval,
)
from tidegate_server.analysis.spread import PhaseFigures

SLOW = [pytest.mark.slow, pytest.mark.timeout(600)]


def interval(values: np.ndarray, share: float, planned: float = 1_000) -> Interval:
    result = quantile_interval(values, share, planned)
    assert isinstance(result, Interval)
    return result


def test_ranks_are_those_of_howard_and_ramdas() -> None:
    """Theorem 1(b), by Howard's reference value of beta_binomial_mixture_bound(100, 0.05, 100, 0.2,
    0.8, 0.05, two-sided) = 31.4308 (gostevehoward/confseq): among 625 values, at a share of 0.2,
    156 at or below the quantile are possible, 157 are not."""
    values = np.arange(625.0)
    np.random.default_rng(1).shuffle(values)
    found = interval(values, 0.2, planned=100 / 0.16)
    assert found.upper == 156
    mirrored = interval(-values, 0.8, planned=100 / 0.16)
    assert mirrored.lower == -156


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_all_looks_cover_together(share: float) -> None:
    """Heavy tails without a mean, rounded so that there are ties."""
    rng = np.random.default_rng(2)
    runs = 100
    looks = np.unique(np.geomspace(30, 2_000, 20).astype(int))
    quantile = round(math.tan(math.pi * (share - 0.5)), 1)
    missed = 0
    for _ in range(runs):
        values = np.round(rng.standard_cauchy(2_000), 1)
        ends = [quantile_interval(values[:n], share, 1_000) for n in looks.tolist()]
        missed += any(
            isinstance(end, Interval) and not end.lower <= quantile <= end.upper for end in ends
        )
    assert missed / runs <= 0.05 + 3 * monte_carlo_error(0.05, runs)


@given(st.integers(0, 400), st.floats(0.01, 0.99), st.floats(1e-4, 0.5))
def test_intervals_hold_the_sample_quantile(size: int, share: float, alpha: float) -> None:
    values = np.random.default_rng(size).normal(size=size)
    result = quantile_interval(values, share, 300, alpha)
    if isinstance(result, NotEstimable):
        assert result == NotEstimable(Cause.TOO_FEW_VALUES)
        return
    assert result.lower <= np.quantile(values, share, method="inverted_cdf") <= result.upper


def test_differences_take_half_of_alpha_for_each_arm() -> None:
    rng = np.random.default_rng(3)
    control, treatment = rng.exponential(1, 4_000), rng.exponential(2, 3_000)
    left = quantile_interval(control, 0.9, 4_000, 0.025)
    right = quantile_interval(treatment, 0.9, 4_000, 0.025)
    assert isinstance(left, Interval)
    assert isinstance(right, Interval)
    result = quantile_difference(control, treatment, 0.9, 4_000)
    assert result == Interval(right.lower - left.upper, right.upper - left.lower)
    assert result.lower > 0
    few = NotEstimable(Cause.TOO_FEW_VALUES)
    assert quantile_difference(control[:5], treatment, 0.9, 99) == few.about("control")
    assert quantile_difference(control, treatment[:5], 0.9, 99) == few.about("treatment")


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="share"):
        quantile_interval(np.zeros(3), 1.0, 100)
    with pytest.raises(ValueError, match="alpha"):
        quantile_interval(np.zeros(3), 0.5, 100, 0.0)
    with pytest.raises(ValueError, match="planned"):
        quantile_interval(np.zeros(3), 0.5, 0.0)


def latencies(rng: np.random.Generator, number: int) -> OutcomeAggregate:
    return outcome(*requests(rng, users(rng, number)))


def test_arms_are_compared_by_their_clustered_figures() -> None:
    rng = np.random.default_rng(4)
    control, treatment = latencies(rng, 900), latencies(rng, 400)
    tuning = Tuning(1_000)
    figures = [quantile_figure(each.histogram, 0.95, exact=False) for each in (control, treatment)]
    assert isinstance(figures[0], Figure)
    assert isinstance(figures[1], Figure)
    expected = always_valid([PhaseFigures(figures[0], figures[1], 900, 400)], tuning)
    assert compare_quantiles((control, 900), (treatment, 400), 0.95, tuning) == expected


def test_what_cannot_be_said() -> None:
    empty = OutcomeAggregate(Cells.empty(), Histogram.empty())
    some = latencies(np.random.default_rng(5), 400)
    tuning = Tuning(1_000)
    missing = NotEstimable(Cause.NO_EVENTS, "treatment")
    assert compare_quantiles((some, 400), (empty, 0), 0.95, tuning) == missing
    early = NotEstimable(Cause.BURN_IN, "control")
    assert compare_quantiles((some, 200), (some, 400), 0.95, tuning) == early


@pytest.mark.parametrize(
    ("control", "treatment", "looks", "runs"),
    [
        (1_500, 1_500, 25, 30),
        (9_500, 500, 25, 20),
        pytest.param(3_000, 3_000, 100, 400, marks=SLOW),
        pytest.param(19_000, 1_000, 100, 400, marks=SLOW),
    ],
)
def test_false_alarms_at_p95_stay_below_alpha(
    control: int, treatment: int, looks: int, runs: int
) -> None:
    rng = np.random.default_rng([control, treatment])
    tuning = Tuning(effective_size(control, treatment))
    alarms = 0
    for _ in range(runs):
        arms: list[OutcomeAggregate | None] = [None, None]
        alarm = False
        for look in range(1, looks + 1):
            for arm, number in enumerate((control, treatment)):
                added = latencies(rng, number // looks)
                before = arms[arm]
                arms[arm] = added if before is None else merge_outcomes(before, added)
            left, right = arms
            assert left is not None
            assert right is not None
            units = control // looks * look, treatment // looks * look
            result = compare_quantiles((left, units[0]), (right, units[1]), 0.95, tuning)
            if isinstance(result, AlwaysValid) and isinstance(result.relative, Reading):
                alarm |= min(result.relative.p_value, result.difference.p_value) <= tuning.alpha
        alarms += alarm
    slack = 0 if runs >= 400 else 2 * monte_carlo_error(0.05, runs)
    assert alarms / runs <= 0.05 + slack
