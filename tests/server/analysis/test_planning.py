"""The planner: against statsmodels, published designs, and experiments carried out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import NormalIndPower

from tests.server.analysis.simulation import monte_carlo_error
from tidegate_server.analysis.clusters import (
    design_effect,
    intraclass_correlation,
    unit_deviation,
    unit_deviation_of,
)
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.looks import Analysis
from tidegate_server.analysis.means import unit_mean_figure
from tidegate_server.analysis.planning import (
    Design,
    PlannedMetric,
    detectable,
    plan,
    power_of,
    relative_metric,
    units_needed,
)
from tidegate_server.analysis.samples import Sample, unit_totals
from tidegate_server.analysis.sequence_margins import Horizon, one_sided_margin

FIXED = Design(analysis=Analysis.FIXED)


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("share", [0.5, 0.05])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_fixed_designs_agree_with_statsmodels(
    *, two_sided: bool, share: float, power: float
) -> None:
    design = Design(0.01, power, share, Analysis.FIXED, two_sided=two_sided)
    metric = PlannedMetric("m", 0.2, 2.0)
    options = {
        "effect_size": 0.1,
        "alpha": 0.01,
        "ratio": share / (1 - share),
        "alternative": "two-sided" if two_sided else "larger",
    }
    control = NormalIndPower().solve_power(power=power, **options)
    assert units_needed(metric, design) == math.ceil(control / (1 - share))
    found = NormalIndPower().power(nobs1=5_000 * (1 - share), **options)
    assert power_of(metric, design, 5_000) == pytest.approx(found, rel=1e-9)


def test_a_published_design() -> None:
    """Lachin 1981: of a one-sided test at 5 % with 90 % power, z = 1.645 and 1.282."""
    design = Design(0.05, 0.9, 0.5, Analysis.FIXED)
    assert design.drift == pytest.approx(1.645 + 1.282, abs=1e-3)


def test_group_sequential_designs_are_a_little_larger() -> None:
    """Jennison and Turnbull 2000, table 2.4: O'Brien-Fleming, 5 looks, two-sided 5 %, power 80 %:
    R = 1.028; Lan-DeMets boundaries differ in the third digit.
    """
    sequential = Design(0.05, 0.8, 0.5, Analysis.GROUP_SEQUENTIAL, two_sided=True)
    fixed = Design(0.05, 0.8, 0.5, Analysis.FIXED, two_sided=True)
    assert (sequential.drift / fixed.drift) ** 2 == pytest.approx(1.028, abs=0.004)


def test_one_look_is_a_fixed_design() -> None:
    one = Design(analysis=Analysis.GROUP_SEQUENTIAL, looks=1)
    assert one.drift == pytest.approx(FIXED.drift, rel=1e-6)


@pytest.mark.parametrize("analysis", Analysis)
def test_power_size_and_detectable_effect_are_one(analysis: Analysis) -> None:
    design, metric = Design(analysis=analysis, burn_in=2), PlannedMetric("m", 0.03, 0.5)
    units = units_needed(metric, design)
    assert power_of(metric, design, units) == pytest.approx(0.8, abs=1e-3)
    assert detectable(metric, design, units) == pytest.approx(0.03, rel=1e-3)


def test_the_power_of_an_always_valid_design_is_that_of_experiments() -> None:
    """Random walks looked at 40 times, stopped at the sequence's one-sided bound."""
    rng, runs, looks = np.random.default_rng(1), 4_000, 40
    fractions = (np.arange(looks) + 1) / looks
    bounds = np.array([one_sided_margin(float(each), 0.05, Horizon.PLANNED) for each in fractions])
    for drift in (2.0, Design().drift):
        steps = rng.normal(drift / looks, 1 / math.sqrt(looks), (runs, looks))
        statistic = steps.cumsum(axis=1) / np.sqrt(fractions)
        found = (statistic >= bounds).any(axis=1).mean()
        assert Design().power_at(drift) == pytest.approx(
            found, abs=4 * monte_carlo_error(0.5, runs)
        )


def test_always_valid_needs_more_units_and_a_burn_in() -> None:
    metric = PlannedMetric("m", 0.05, 0.4)
    sizes = [units_needed(metric, Design(analysis=each)) for each in Analysis]
    assert sizes == sorted(sizes)
    assert sizes[2] < 2 * sizes[0]
    easy = PlannedMetric("m", 10.0, 0.1)
    assert units_needed(easy, Design(share=0.05)) == 300 / 0.05
    assert units_needed(easy, FIXED) == 4


def test_the_hardest_metric_sets_the_size() -> None:
    goal = relative_metric("rating", 4.0, 1.2, 0.05)
    guardrail = relative_metric("error", 0.02, math.sqrt(0.02 * 0.98), 0.1)
    found = plan([goal, guardrail], FIXED)
    assert [need.metric.name for need in found.needs] == ["error", "rating"]
    assert found.units == found.needs[0].units == units_needed(guardrail, FIXED)
    assert found.needs[0].power == pytest.approx(0.8, abs=1e-3)
    assert found.needs[1].power > 0.999
    assert found.joint_power == pytest.approx(0.8, abs=1e-3)
    assert found.needs[1].detectable < goal.distance
    assert found.days(1_000) == math.ceil(found.units / 1_000)


def test_what_is_hoped_for_counts_less_what_must_be_exceeded() -> None:
    far = relative_metric("m", 10.0, 2.0, 0.08)
    near = relative_metric("m", 10.0, 2.0, 0.08, 0.05)
    assert near.distance == pytest.approx(math.log(1.08 / 1.05))
    assert units_needed(near, FIXED) > 6 * units_needed(far, FIXED)
    less = relative_metric("latency_ms", 10.0, 2.0, -0.08, -0.05)
    assert less.distance == pytest.approx(math.log(0.95 / 0.92))


@given(st.floats(1e-6, 10), st.floats(0, 1e6), st.floats(0.001, 0.999), st.floats(1, 1e12))
def test_every_figure_is_finite(
    distance: float, deviation: float, share: float, units: float
) -> None:
    metric = PlannedMetric("m", distance, deviation)
    design = Design(share=share, analysis=Analysis.FIXED)
    assert units_needed(metric, design) >= 2
    assert 0 <= power_of(metric, design, units) <= 1
    assert 0 <= detectable(metric, design, units) < math.inf


def test_a_plan_carried_out_keeps_its_power() -> None:
    """Clustered requests, a treatment 6 % slower, and a fixed test on the log-ratio."""
    rng, runs = np.random.default_rng(2), 400
    deviation = unit_deviation(1.0, 4, 0.3, math.sqrt(0.75))
    metric = relative_metric("latency_ms", 5.0, deviation, 0.06)
    size = units_needed(metric, FIXED) // 2
    found = 0
    for _ in range(runs):
        logs = []
        for mean in (5.0, 5.3):
            count = rng.geometric(0.25, size)
            level = rng.normal(mean, math.sqrt(0.3), size)
            total = count * level + rng.normal(0, np.sqrt(0.7 * count))
            ratio = total.sum() / count.sum()
            error = math.sqrt(float(((total - ratio * count) ** 2).sum())) / count.sum() / ratio
            logs.append((math.log(ratio), error))
        statistic = (logs[1][0] - logs[0][0]) / math.hypot(logs[0][1], logs[1][1])
        found += statistic > stats.norm.ppf(0.95)
    assert found / runs == pytest.approx(0.8, abs=3 * monte_carlo_error(0.8, runs) + 0.02)


@pytest.mark.parametrize(
    ("field", "value"),
    [("alpha", 0.0), ("alpha", 0.5), ("power", 0.04), ("power", 1.0), ("share", 0.0), ("looks", 0)],
)
def test_designs_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Design(**{field: value})  # type: ignore[arg-type]


def test_metrics_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="rating: the effect"):
        PlannedMetric("rating", 0.0, 1.0)
    with pytest.raises(ValueError, match="rating: the deviation"):
        PlannedMetric("rating", 1.0, -1.0)
    with pytest.raises(ValueError, match="rating: the mean"):
        relative_metric("rating", 0.0, 1.0, 0.1)
    with pytest.raises(ValueError, match="rating: a change"):
        relative_metric("rating", 1.0, 1.0, -1.0)


def clustered(rng: np.random.Generator, units: int, icc: float) -> Sample:
    count = rng.geometric(0.2, units)
    unit = np.repeat(np.arange(units), count)
    values = rng.normal(0, math.sqrt(icc), units)[unit] + rng.normal(
        10, math.sqrt(1 - icc), unit.size
    )
    return Sample(unit, values, units)


@pytest.mark.parametrize("icc", [0.0, 0.3, 0.9])
def test_the_correlation_of_data_is_found(icc: float) -> None:
    found = intraclass_correlation(clustered(np.random.default_rng(3), 20_000, icc))
    assert found == pytest.approx(icc, abs=0.01)


def test_the_correlation_of_equal_groups_is_that_of_anova() -> None:
    """Against the mean squares of a one-way analysis of variance, by scipy."""
    rng = np.random.default_rng(4)
    table = rng.normal(0, 1, (12, 5)) + rng.normal(0, 0.7, (12, 1))
    f = stats.f_oneway(*table).statistic
    found = intraclass_correlation(Sample(np.repeat(np.arange(12), 5), table.ravel(), 12))
    assert found == pytest.approx((f - 1) / (f + 4), rel=1e-9)


def test_the_deviation_from_parameters_is_that_from_data() -> None:
    events = clustered(np.random.default_rng(5), 40_000, 0.3)
    figure = unit_mean_figure(unit_totals(events))
    assert isinstance(figure, Figure)
    by_data = unit_deviation_of(figure, 40_000)
    assert unit_deviation(1.0, 5, 0.3, math.sqrt(0.8)) == pytest.approx(by_data, rel=0.02)


def test_design_effects() -> None:
    """Equal clusters of 20 with an ICC of 0.05: 1.95 (Eldridge et al. 2006)."""
    assert design_effect(20, 0.05) == pytest.approx(1.95)
    assert design_effect(1, 0.9) == 1.0
    assert design_effect(20, 0.05, 1.0) == pytest.approx(1 + 39 * 0.05)
    for wrong in ((0.5, 0.1, 0.0), (2.0, 1.1, 0.0), (2.0, 0.1, -1.0)):
        with pytest.raises(ValueError, match="must be"):
            design_effect(*wrong)


@pytest.mark.parametrize(
    ("unit", "values", "cause"),
    [
        ([0, 0, 0], [1.0, 2.0, 3.0], Cause.TOO_FEW_UNITS),
        ([0, 1, 2], [1.0, 2.0, 3.0], Cause.TOO_FEW_UNITS),
        ([0, 0, 1], [2.0, 2.0, 2.0], Cause.ZERO_VARIANCE),
        ([0, 0, 1], [1e200, -1e200, 2e200], Cause.OVERFLOW),
    ],
)
def test_correlations_that_cannot_be_said(
    unit: list[int], values: list[float], cause: Cause
) -> None:
    found = intraclass_correlation(Sample(np.array(unit), np.array(values), 3))
    assert found == NotEstimable(cause)


@pytest.mark.parametrize(
    ("change", "minimum"), [(0.05, 0.1), (0.05, 0.05), (0.05, -0.01), (0.0, 0.1)]
)
def test_a_minimum_beyond_the_change_hoped_for_is_refused(change: float, minimum: float) -> None:
    """It could never be exceeded: no number of units would do."""
    with pytest.raises(ValueError, match="rating: the minimum must lie between"):
        relative_metric("rating", 4.0, 1.0, change, minimum)


def test_an_effect_too_small_for_any_number_of_units_is_refused() -> None:
    with pytest.raises(ValueError, match="m: the effect or margin is too small"):
        units_needed(PlannedMetric("m", 1e-200, 1.0), Design())
