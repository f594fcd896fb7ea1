import math
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.server.analysis.simulation import monte_carlo_error
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.sample_ratio import CONCENTRATION, SampleRatio, sample_ratio
from tidegate_server.analysis.units import UnitCount, count_units


def exact(*units: float) -> list[UnitCount]:
    return [UnitCount(each, 0.0) for each in units]


def ratio(
    counts: Sequence[UnitCount], weights: Sequence[float], concentration: float = CONCENTRATION
) -> SampleRatio:
    result = sample_ratio(counts, weights, concentration)
    assert isinstance(result, SampleRatio)
    return result


@pytest.mark.parametrize(
    ("units", "weights"), [((50, 61), (1, 1)), ((9_400, 540), (95, 5)), ((30, 31, 44), (2, 2, 3))]
)
def test_is_the_product_of_predictions(units: tuple[int, ...], weights: tuple[int, ...]) -> None:
    """The e-value unit by unit, each arm's chance being its share of prior and counts so far
    against its weight: Lindon and Malek's own program (optimizely/ssrm) accumulates so."""
    shares = np.array(weights) / sum(weights)
    arms = np.repeat(np.arange(len(units)), units)
    np.random.default_rng(1).shuffle(arms)
    seen, logarithm = CONCENTRATION * shares, 0.0
    for arm in arms:
        logarithm += math.log(seen[arm] / seen.sum() / shares[arm])
        seen[arm] += 1
    result = ratio(exact(*units), weights)
    assert result.log_e_value == pytest.approx(logarithm, abs=1e-9)
    assert result.p_value == pytest.approx(min(1.0, math.exp(-logarithm)), rel=1e-9)


def test_the_fixed_test_is_pearsons() -> None:
    result = ratio(exact(5_200, 3_010, 1_900), [5, 3, 2])
    expected = np.array([5, 3, 2]) / 10 * 10_110
    assert result.fixed_p_value == pytest.approx(
        stats.chisquare([5_200, 3_010, 1_900], expected).pvalue, rel=1e-9
    )
    assert (result.degrees, result.inflation, result.stray_units) == (2, 1.0, 0.0)


def test_arms_of_weight_zero_are_no_degree_of_freedom() -> None:
    with_zero = ratio(exact(480, 0, 520), [1, 0, 1])
    assert with_zero == ratio(exact(480, 520), [1, 1])


def test_a_unit_in_an_arm_of_weight_zero_is_a_mismatch_at_once() -> None:
    for counts in (exact(480, 1, 520), exact(0, 1, 0)):
        result = ratio(counts, [1, 0, 1])
        assert (result.p_value, result.stray_units) == (sys.float_info.min, 1)
        assert math.isfinite(result.log_e_value)
    assert ratio(exact(480, 3), [1, 0]).stray_units == 3


def test_what_cannot_be_said() -> None:
    assert sample_ratio(exact(0, 0), [1, 1]) == NotEstimable(Cause.NO_UNITS)
    assert sample_ratio(exact(10, 0), [1, 0]) == NotEstimable(Cause.ONE_ARM)


def test_one_unit_says_nothing_and_an_empty_arm_speaks_up() -> None:
    assert ratio(exact(1, 0), [1, 1]).p_value == pytest.approx(1.0, abs=1e-3)
    assert ratio(exact(1_000, 0), [1, 1]).p_value < 1e-9


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, math.nan]])
def test_weights_are_checked(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        sample_ratio(exact(1, 1), weights)


def test_trivial_deviations_at_huge_counts_are_told_from_chance() -> None:
    """3 standard errors off, at 10^12 units: less than chance allows over all looks."""
    deviation = 3 * math.sqrt(1e12) / 2
    assert ratio(exact(5e11 + deviation, 5e11 - deviation), [1, 1]).p_value > 0.5
    assert ratio(exact(5e11 + 4 * deviation, 5e11 - 4 * deviation), [1, 1]).p_value < 1e-9


@given(
    st.lists(st.floats(0, 1e12), min_size=2, max_size=4),
    st.lists(st.integers(0, 10**6), min_size=4, max_size=4),
    st.floats(0, 0.3),
)
def test_every_figure_is_finite(units: list[float], weights: list[int], noise: float) -> None:
    chosen = weights[: len(units)]
    if not any(chosen):
        return
    result = sample_ratio([UnitCount(each, noise * each) for each in units], chosen)
    if isinstance(result, NotEstimable):
        return
    assert 0 < result.p_value <= 1
    assert 0 < result.fixed_p_value <= 1
    assert math.isfinite(result.log_e_value)
    assert 1 <= result.inflation < math.inf


def linear_counts(
    rng: np.random.Generator, units: int, shares: Sequence[float], bits: int, looks: np.ndarray
) -> list[list[UnitCount]]:
    """Return what the arms' bitmaps of `bits` bits say when so many units have come."""
    arm = rng.choice(len(shares), units, p=shares)
    zeros = []
    for each in range(len(shares)):
        own = np.flatnonzero(arm == each)
        _, first = np.unique(rng.integers(0, bits, own.size), return_index=True)
        zeros.append(bits - np.searchsorted(np.sort(own[first]), looks))
    return [[_read(int(each[look]), bits) for each in zeros] for look in range(looks.size)]


def _read(zeros: int, bits: int) -> UnitCount:
    bitmap = np.zeros(bits // 8, np.uint8)
    bitmap[: (bits - zeros) // 8] = 255
    rest = (bits - zeros) % 8
    if rest:
        bitmap[(bits - zeros) // 8] = (1 << rest) - 1
    result = count_units(bitmap)
    assert isinstance(result, UnitCount)
    return result


@pytest.mark.parametrize(
    ("shares", "load"), [((0.5, 0.5), 5), ((0.95, 0.05), 5), ((0.5, 0.3, 0.2), 5)]
)
def test_linear_counts_raise_no_false_alarms(shares: tuple[float, ...], load: float) -> None:
    """25 looks, up to five units a bit, as 5 million units an arm are for the real bitmaps.

    The prior is as wide, beside the bits, as the product's.
    """
    rng = np.random.default_rng(len(shares))
    bits, runs = 4_096, 120
    units = int(load * bits / max(shares))
    looks = np.geomspace(50, units, 25).astype(int)
    alarms = 0
    for _ in range(runs):
        counts = linear_counts(rng, units, shares, bits, looks)
        alarms += any(ratio(each, shares, 40).p_value <= 0.05 for each in counts)
    assert alarms / runs <= 0.05


def test_linear_counts_taken_for_exact_would_raise_false_alarms() -> None:
    rng = np.random.default_rng(4)
    looks = np.array([5 * 2 * 4_096])
    counts = [linear_counts(rng, looks[0], (0.5, 0.5), 4_096, looks)[0] for _ in range(40)]
    naive = [ratio(exact(*(each.units for each in run)), [1, 1], 40).p_value for run in counts]
    assert np.mean(np.array(naive) <= 0.001) > 0.3


def test_exact_counts_raise_no_false_alarms() -> None:
    """30 looks on the way to 20,000 units, 95 / 5."""
    rng = np.random.default_rng(5)
    runs = 300
    looks = np.diff(np.geomspace(50, 20_000, 30).astype(int), prepend=0)
    steps = np.stack([rng.multinomial(step, [0.95, 0.05], size=runs) for step in looks], axis=1)
    counts = steps.cumsum(axis=1)
    alarms = sum(
        any(ratio(exact(*look), [95, 5], 200).p_value <= 0.05 for look in run) for run in counts
    )
    assert alarms / runs <= 0.05 + 3 * monte_carlo_error(0.05, runs)


def test_finds_a_small_mismatch() -> None:
    """51 / 49 instead of 50 / 50, in 100,000 units."""
    rng = np.random.default_rng(6)
    counts = rng.binomial(100_000, 0.51, size=200)
    found = [ratio(exact(k, 100_000 - k), [1, 1]).p_value <= 0.001 for k in counts.tolist()]
    assert np.mean(found) > 0.9


def test_linear_counting_costs_power_only_when_the_bitmap_is_full() -> None:
    """A mismatch of 2 % between arms of a million units is found through the bitmaps' noise."""
    bits = 1 << 20
    noisy = [
        UnitCount(units, math.sqrt(bits * (math.expm1(units / bits) - units / bits)))
        for units in (1_010_000.0, 990_000.0)
    ]
    assert ratio(noisy, [1, 1]).p_value < 1e-6
    full = [UnitCount(units, 0.012 * units) for units in (1.01e7, 0.99e7)]
    assert ratio(full, [1, 1]).p_value == 1.0
