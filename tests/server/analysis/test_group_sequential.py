"""Tables are those of Jennison and Turnbull 2000, "Group Sequential Methods"."""

import math
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.server.analysis.simulation import monte_carlo_error
from tidegate_server.analysis.effects import Effect
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import NORMAL
from tidegate_server.analysis.group_sequential import (
    LIMIT,
    Boundaries,
    boundaries,
    crossing,
    drift_for,
    inflation,
    repeated_interval,
    stagewise_p_value,
)
from tidegate_server.analysis.spending import (
    Spending,
    hwang_shih_decani,
    obrien_fleming,
    pocock,
    power_family,
)


def evenly(looks: int) -> list[float]:
    return [(look + 1) / looks for look in range(looks)]


def plan(
    information: list[float],
    *,
    alpha: float = 0.05,
    spending: Spending = obrien_fleming,
    two_sided: bool = True,
    last: bool = False,
) -> Boundaries:
    result = boundaries(
        information, 1.0, alpha=alpha, spending=spending, two_sided=two_sided, last=last
    )
    assert isinstance(result, Boundaries)
    return result


def test_agrees_with_the_tables_of_reboussin_and_others() -> None:
    """Five looks, two-sided 5 %: Reboussin, DeMets, Kim, Lan 2000, "Computations for group
    sequential boundaries using the Lan-DeMets spending function method", Control. Clin. Trials 21;
    the same in gsDesign (sfLDOF, sfLDPocock)."""
    assert plan(evenly(5)).critical == pytest.approx(
        (4.8769, 3.3570, 2.6803, 2.2898, 2.0310), abs=1e-4
    )
    assert plan(evenly(5), spending=pocock).critical == pytest.approx(
        (2.4380, 2.4268, 2.4101, 2.3966, 2.3859), abs=1e-4
    )


def test_agrees_with_ldbounds() -> None:
    """bounds(c(0.1, 0.33, 1), iuse=c(1, 1), alpha=c(0.025, 0.025)) of R's ldbounds; the output was
    posted to r-help on 2020-03-24."""
    result = plan([0.1, 0.33, 1.0])
    assert result.critical == pytest.approx((6.9913, 3.7308, 1.9605), abs=2e-4)
    assert result.spent == pytest.approx((2.7227e-12, 1.9097e-4, 0.05), rel=1e-4)


@pytest.mark.parametrize(
    ("information", "alpha", "spending", "critical"),
    [
        ([0.2, 0.4, 1], 0.03, hwang_shih_decani(0), (2.5121443, 2.4228747, 2.0280392)),
        ([0.2, 0.4, 1], 0.07, hwang_shih_decani(-1), (2.364813, 2.1928805, 1.5660474)),
        ([0.3, 0.7, 1], 0.03, power_family(2.2), (2.8594012, 2.2435708, 1.9735737)),
        ([0.35, 0.7, 1], 0.13, pocock, (1.5446617, 1.4828682, 1.4620058)),
        ([0.4, 0.7], 0.025, pocock, (2.223875, 2.3050796)),
        ([0.4, 0.75, 0.85, 1], 0.13, obrien_fleming, (2.1280732, 1.4368565, 1.422873, 1.2970881)),
    ],
)
def test_agrees_with_rpact(
    information: list[float], alpha: float, spending: Spending, critical: tuple[float, ...]
) -> None:
    """One-sided designs of R's rpact, tests/testthat/test-f_design_group_sequential.R."""
    result = plan(information, alpha=alpha, spending=spending, two_sided=False)
    assert result.critical == pytest.approx(critical, abs=2e-7)


def test_power_and_inflation_agree_with_rpact() -> None:
    """getDesignCharacteristics of the first design above, beta 0.14, in the same file."""
    design = plan([0.2, 0.4, 1], alpha=0.03, spending=power_family(1), two_sided=False)
    powers = crossing(design, math.sqrt(9.4594101))
    assert powers == pytest.approx((0.12783451, 0.34055165, 0.86), abs=1e-7)
    assert inflation(design, 0.86) == pytest.approx(1.0788327, abs=1e-6)
    assert drift_for(design, 0.86) ** 2 == pytest.approx(9.4594101, abs=1e-6)


@pytest.mark.parametrize(
    ("looks", "constant", "factor"),
    [(2, 2.178, 1.100), (3, 2.289, 1.151), (5, 2.413, 1.207), (10, 2.555, 1.271)],
)
def test_agrees_with_pococks_tables(looks: int, constant: float, factor: float) -> None:
    """Constants of Table 2.1, factors of Table 2.2 at power 0.9; two-sided, 5 %."""
    design = Boundaries(tuple(evenly(looks)), (constant,) * looks, (0.05,) * looks, True)
    assert crossing(design, 0.0)[-1] == pytest.approx(0.05, abs=1e-4)
    assert inflation(design, 0.9) == pytest.approx(factor, abs=1e-3)


@pytest.mark.parametrize(
    ("looks", "constant", "factor"),
    [(2, 1.977, 1.007), (3, 2.004, 1.016), (5, 2.040, 1.026), (10, 2.087, 1.037)],
)
def test_agrees_with_obrien_and_flemings_tables(looks: int, constant: float, factor: float) -> None:
    """Constants of Table 2.3, factors of Table 2.4 at power 0.9; two-sided, 5 %."""
    critical = tuple(constant / math.sqrt(fraction) for fraction in evenly(looks))
    design = Boundaries(tuple(evenly(looks)), critical, (0.05,) * looks, True)
    assert crossing(design, 0.0)[-1] == pytest.approx(0.05, abs=1e-4)
    assert inflation(design, 0.9) == pytest.approx(factor, abs=1e-3)


@pytest.mark.parametrize("two_sided", [True, False])
def test_two_looks_agree_with_the_bivariate_normal(*, two_sided: bool) -> None:
    design = plan([0.3, 1.0], alpha=0.08, spending=pocock, two_sided=two_sided)
    both = stats.multivariate_normal([0, 0], [[1, math.sqrt(0.3)], [math.sqrt(0.3), 1]])
    lower = [-z for z in design.critical] if two_sided else [-math.inf, -math.inf]
    inside = both.cdf(np.array(design.critical), lower_limit=np.array(lower))
    assert 1 - inside == pytest.approx(0.08, abs=1e-6)


def test_one_look_is_the_fixed_test() -> None:
    design = plan([1.0])
    assert design.critical[0] == pytest.approx(stats.norm.isf(0.025), rel=1e-9)
    assert design.nominal[0] == pytest.approx(0.05, rel=1e-9)
    assert inflation(design, 0.9) == pytest.approx(1.0, rel=1e-6)
    assert drift_for(design, 0.9) == pytest.approx(
        stats.norm.isf(0.025) + stats.norm.isf(0.1), abs=1e-6
    )
    assert stagewise_p_value(design, 2.5) == pytest.approx(2 * stats.norm.sf(2.5), rel=1e-9)


def test_one_sided_p_values_of_one_look() -> None:
    design = plan([1.0], two_sided=False)
    assert stagewise_p_value(design, 2.5) == pytest.approx(stats.norm.sf(2.5), rel=1e-9)
    assert stagewise_p_value(design, -1e9) == 1.0
    assert stagewise_p_value(design, 1e9) == sys.float_info.min


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(1e-3, 0.5), min_size=1, max_size=12),
    st.floats(1e-4, 0.3),
    st.sampled_from([obrien_fleming, pocock, power_family(2), hwang_shih_decani(-4)]),
    st.booleans(),
)
def test_what_is_spent_is_what_is_crossed(
    steps: list[float], alpha: float, spending: Spending, two_sided: bool
) -> None:
    information = [float(each) for each in np.cumsum(steps)]
    looks = next((i for i, each in enumerate(information) if each >= 1), len(information)) + 1
    design = plan(information[:looks], alpha=alpha, spending=spending, two_sided=two_sided)
    assert crossing(design, 0.0) == pytest.approx(design.spent, rel=1e-7, abs=1e-12)
    assert all(-LIMIT < z <= LIMIT for z in design.critical)
    p_value = stagewise_p_value(design, design.critical[-1])
    assert p_value == pytest.approx(design.spent[-1], rel=1e-7, abs=1e-12)


def test_boundaries_of_earlier_looks_never_change() -> None:
    assert plan([0.2, 0.5, 0.9]).critical[:2] == plan([0.2, 0.5]).critical


def test_an_overrun_spends_what_is_left_and_keeps_the_level() -> None:
    """Correlations are those of the true information: simulated, 400,000 Brownian motions."""
    information = [0.3, 0.6, 1.5]
    design = plan(information)
    assert design.spent[-1] == pytest.approx(0.05)
    rng = np.random.default_rng(1)
    runs = 400_000
    steps = np.diff([0.0, *information])
    paths = np.cumsum(rng.normal(size=(runs, 3)) * np.sqrt(steps), axis=1)
    stopped = (np.abs(paths / np.sqrt(information)) >= design.critical).any(axis=1).mean()
    assert abs(stopped - 0.05) < 4 * monte_carlo_error(0.05, runs)


def test_a_last_look_that_falls_short_spends_all() -> None:
    design = plan([0.3, 0.6, 0.8], last=True)
    assert design.spent[-1] == 0.05
    assert design.critical[-1] < plan([0.3, 0.6, 0.8]).critical[-1]
    assert crossing(design, 0.0)[-1] == pytest.approx(0.05, rel=1e-9)


def test_a_look_that_may_spend_nothing_has_the_highest_boundary() -> None:
    design = plan([0.001, 1.0])
    assert design.critical[0] == LIMIT
    assert crossing(design, 0.0)[-1] == pytest.approx(0.05, rel=1e-9)


@pytest.mark.parametrize(
    ("information", "cause"),
    [
        ([0.5, 0.5005, 1.0], Cause.NO_NEW_INFORMATION),
        ([0.5, 0.4], Cause.NO_NEW_INFORMATION),
        ([0.0, 0.4], Cause.NO_NEW_INFORMATION),
        ([0.5, math.nan], Cause.NO_NEW_INFORMATION),
        ([0.5, math.inf], Cause.NO_NEW_INFORMATION),
        ([0.5, 1.0, 1.2], Cause.ALPHA_SPENT),
    ],
)
def test_what_cannot_be_said(information: list[float], cause: Cause) -> None:
    assert boundaries(information, 1.0) == NotEstimable(cause)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="information"):
        boundaries([], 1.0)
    with pytest.raises(ValueError, match="alpha"):
        boundaries([1.0], 1.0, alpha=1.0)
    with pytest.raises(ValueError, match="planned"):
        boundaries([1.0], 0.0)
    with pytest.raises(ValueError, match="power"):
        drift_for(plan([1.0]), 0.04)


def test_repeated_intervals_reach_as_far_as_the_boundary() -> None:
    design = plan([0.5, 1.0])
    interval = repeated_interval(design, Effect(3.0, 1.0, 2.0, NORMAL))
    z = design.critical[-1]
    assert (interval.lower, interval.upper) == pytest.approx((3 - z, 3 + 2 * z), rel=1e-9)
    wider = repeated_interval(design, Effect(3.0, 1.0, 2.0, 30))
    assert wider.lower < interval.lower
    early = repeated_interval(plan([0.001]), Effect(3.0, 1.0, 2.0, NORMAL))
    assert early.lower == pytest.approx(3 - LIMIT, rel=1e-6)


def test_twenty_looks_take_less_than_ten_milliseconds() -> None:
    """2.3 ms on an idle core; the best of fifty, since other work may run."""
    information = evenly(20)
    plan(information)

    def once() -> float:
        start = time.perf_counter()
        plan(information)
        return time.perf_counter() - start

    assert min(once() for _ in range(50)) < 0.010
