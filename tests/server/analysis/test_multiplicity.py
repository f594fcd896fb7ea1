import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from tidegate_server.analysis.comparison import Estimate
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import bare_figure
from tidegate_server.analysis.multiplicity import Adjustment, adjust_p_values, compare_all

STATSMODELS = {
    Adjustment.BONFERRONI: "bonferroni",
    Adjustment.SIDAK: "sidak",
    Adjustment.HOLM: "holm",
    Adjustment.HOLM_SIDAK: "holm-sidak",
    Adjustment.HOCHBERG: "simes-hochberg",
    Adjustment.BENJAMINI_HOCHBERG: "fdr_bh",
    Adjustment.BENJAMINI_YEKUTIELI: "fdr_by",
}
BENJAMINI_HOCHBERG_1995 = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
    0.6528, 0.7590, 1.0,
]  # fmt: skip
"""Of 15 comparisons in a trial of two treatments of heart attacks: their example."""


@pytest.mark.parametrize("method", Adjustment)
@pytest.mark.parametrize("number", [1, 2, 12])
def test_agrees_with_statsmodels(method: Adjustment, number: int) -> None:
    p_values = np.random.default_rng(number).beta(0.2, 1, number).round(3).tolist()
    expected = multipletests(p_values, method=STATSMODELS[method])[1]
    assert adjust_p_values(p_values, method) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("method", "rejected"), [(Adjustment.BONFERRONI, 3), (Adjustment.BENJAMINI_HOCHBERG, 4)]
)
def test_the_example_of_benjamini_and_hochberg(method: Adjustment, rejected: int) -> None:
    adjusted = adjust_p_values(BENJAMINI_HOCHBERG_1995, method)
    assert sum(p <= 0.05 for p in adjusted) == rejected


@pytest.mark.parametrize("method", Adjustment)
def test_the_order_is_kept_and_extremes_are_bounded(method: Adjustment) -> None:
    adjusted = adjust_p_values([1.0, 1e-300, 0.0, 0.5], method)
    assert adjusted[2] <= adjusted[1] <= adjusted[3] <= adjusted[0] == 1.0
    assert adjust_p_values([], method) == ()
    assert adjust_p_values([0.03], method) == pytest.approx((0.03,))


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="p_values"):
        adjust_p_values([0.5, wrong], Adjustment.HOLM)


def test_several_treatments_against_one_control() -> None:
    control = bare_figure(10.0, 0.1, 0.1, 1_000, 999)
    treatments = {
        "same": bare_figure(10.0, 0.1, 0.1, 1_000, 999),
        "better": bare_figure(10.5, 0.1, 0.1, 1_000, 999),
        "constant": bare_figure(10.0, 0.0, 0.0, 1_000, 999),
    }
    family = compare_all(control, treatments)
    better = family["better"]
    assert isinstance(better.estimate, Estimate)
    assert better.adjusted_p_value == pytest.approx(3 * better.estimate.p_value)
    width = better.estimate.interval.upper - better.estimate.interval.lower
    assert width > 2 * 2.39 * np.hypot(0.1, 0.1)


def test_what_is_not_estimable_is_in_no_family() -> None:
    constant = bare_figure(10.0, 0.0, 0.0, 1_000, 999)
    family = compare_all(
        constant, {"same": constant, "varied": bare_figure(10.2, 0.1, 0.1, 1_000, 999)}
    )
    assert family["same"].adjusted_p_value == NotEstimable(Cause.ZERO_VARIANCE)
    varied = family["varied"]
    assert isinstance(varied.estimate, Estimate)
    assert varied.adjusted_p_value == varied.estimate.p_value


def test_many_treatments_that_do_nothing_raise_no_more_alarms_than_one() -> None:
    rng, runs = np.random.default_rng(1), 2_000
    alarms = 0
    for _ in range(runs):
        means = rng.normal(0, 0.1, 6)
        control, *others = (bare_figure(each, 0.1, 0.1, 1_000) for each in means)
        family = compare_all(control, {str(i): each for i, each in enumerate(others)})
        alarms += any(
            isinstance(each.adjusted_p_value, float) and each.adjusted_p_value <= 0.05
            for each in family.values()
        )
    assert alarms / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
