"""Every statistic from each of the three kinds of data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.server.analysis.simulation import outcome, requests, users
from tidegate_server.analysis.aggregates import OutcomeAggregate
from tidegate_server.analysis.caps import AbsoluteCap, QuantileCap, cap_limit
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.metrics import Metric, Statistic, figure_of, figures_of
from tidegate_server.analysis.samples import Data, LiveOutcome, Sample, UnitTotals, unit_totals
from tidegate_server.analysis.units import bitmap_of, empty_bitmap


def arm(seed: int, units: int = 4_000) -> tuple[Sample, LiveOutcome]:
    """The same requests, raw and live; a tenth of the units makes none."""
    rng = np.random.default_rng(seed)
    who = users(rng, units)
    active = who.part(0, units - units // 10)
    hashes, values = requests(rng, active, 5)
    order = np.argsort(who.unit_hash)
    index = order[np.searchsorted(who.unit_hash, hashes, sorter=order)]
    return Sample(index, values, units), LiveOutcome(
        outcome(hashes, values), bitmap_of(who.unit_hash)
    )


RAW, LIVE = arm(1)


def known(data: Data, statistic: Statistic) -> Figure:
    result = figure_of(data, statistic)
    assert isinstance(result, Figure)
    return result


@pytest.mark.parametrize(
    "statistic", [each for each in Statistic if each is not Statistic.PROPORTION]
)
def test_live_and_raw_agree(statistic: Statistic) -> None:
    """Values but for bins and linear counting; errors within what 63 degrees of freedom allow."""
    live, raw = known(LIVE, statistic), known(RAW, statistic)
    assert live.value == pytest.approx(raw.value, rel=0.01)
    assert live.standard_error == pytest.approx(raw.standard_error, rel=4 / math.sqrt(2 * 63))


@pytest.mark.parametrize("statistic", [Statistic.MEAN, Statistic.MEAN_PER_UNIT, Statistic.RATE])
def test_sums_per_unit_and_raw_are_the_same(statistic: Statistic) -> None:
    raw, totals = known(RAW, statistic), known(unit_totals(RAW), statistic)
    assert (raw.value, raw.below, raw.above) == (totals.value, totals.below, totals.above)


def test_mean_per_unit_is_the_plain_mean() -> None:
    total = unit_totals(RAW).total
    result = known(RAW, Statistic.MEAN_PER_UNIT)
    assert result.value == pytest.approx(total.mean(), rel=1e-12)
    assert result.standard_error == pytest.approx(stats.sem(total), rel=1e-9)
    assert result.degrees == total.size - 1


def test_rate_has_the_delta_methods_error_where_events_are_many() -> None:
    count = unit_totals(RAW).count
    result = known(RAW, Statistic.RATE)
    assert result.value == pytest.approx(count.mean(), rel=1e-12)
    assert result.standard_error == pytest.approx(stats.sem(count), rel=1e-3)


def test_the_share_of_units_needs_to_know_units() -> None:
    share = known(RAW, Statistic.PROPORTION)
    assert share.value == 0.9
    wilson = stats.binomtest(3_600, 4_000).proportion_ci(method="wilson")
    z = stats.norm.ppf(0.975)
    assert share.value - z * share.below == pytest.approx(wilson.low, rel=1e-9)
    assert share.value + z * share.above == pytest.approx(wilson.high, rel=1e-9)
    assert figure_of(LIVE, Statistic.PROPORTION) == NotEstimable(Cause.NEEDS_UNITS)


def test_a_unit_with_events_that_cancel_counts() -> None:
    events = Sample(np.array([0, 0, 1]), np.array([1.0, -1.0, 0.0]), 4)
    assert known(events, Statistic.PROPORTION).value == 0.25


def test_quantiles_need_events() -> None:
    assert figure_of(unit_totals(RAW), Statistic.P95) == NotEstimable(Cause.NEEDS_EVENTS)
    assert known(RAW, Statistic.P90).value == np.quantile(RAW.values, 0.9, method="inverted_cdf")


def test_count_of_independent_events_has_poissons_error() -> None:
    rng = np.random.default_rng(2)
    count = rng.poisson(3.0, 5_000)
    result = known(UnitTotals(count, count.astype(float)), Statistic.COUNT)
    assert result.value == count.sum()
    assert result.standard_error == pytest.approx(math.sqrt(5_000 * (3 + 3**2)), rel=0.05)


def rare(events: int, units: int = 10_000) -> UnitTotals:
    count = np.zeros(units, np.int64)
    count[:events] = 1
    return UnitTotals(count, count.astype(float))


@pytest.mark.parametrize("statistic", [Statistic.PROPORTION, Statistic.RATE])
def test_no_event_yet_is_still_uncertain(statistic: Statistic) -> None:
    """The score interval of 0 of n reaches to about z² / n."""
    none = known(rare(0), statistic)
    assert (none.value, none.below) == (0.0, 0.0)
    assert 1.96 * none.above == pytest.approx(1.96**2 / 10_000, rel=1e-3)
    result = compare(none, known(rare(12), statistic))
    assert isinstance(result, Estimate)
    assert 1e-4 < result.p_value < 0.05
    nothing = compare(none, none)
    assert isinstance(nothing, Estimate)
    assert nothing.p_value == 1.0
    assert nothing.interval.lower == -nothing.interval.upper


def test_every_unit_with_just_one_event_does_not_vary() -> None:
    assert known(rare(10_000), Statistic.RATE).standard_error == 0.0


@pytest.mark.parametrize("statistic", [Statistic.PROPORTION, Statistic.RATE])
@pytest.mark.parametrize(("control", "treatment"), [(4_000, 400), (1_000, 1_000)])
def test_intervals_of_rare_events_cover(statistic: Statistic, control: int, treatment: int) -> None:
    """0.5 % of units: 2 events are expected in the small arm."""
    rng, runs, p = np.random.default_rng(3), 800, 0.005
    covered = 0
    for _ in range(runs):
        arms = [rare(int(rng.binomial(n, p)), n) for n in (control, treatment)]
        result = compare(*(known(each, statistic) for each in arms))
        covered += (
            isinstance(result, Estimate) and result.interval.lower <= 0 <= result.interval.upper
        )
    assert covered / runs >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)


def test_caps() -> None:
    heavy = Sample(np.arange(6), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1e6]), 6)
    pair = figures_of(heavy, heavy, Metric(cap=AbsoluteCap(4.0)))
    assert not isinstance(pair, NotEstimable)
    assert pair[0].value == pytest.approx(18 / 6)
    light = Sample(np.arange(4), np.array([1.0, 2.0, 3.0, 4.0]), 4)
    capped = figures_of(light, heavy, Metric(cap=QuantileCap(0.75)))
    assert not isinstance(capped, NotEstimable)
    assert capped[1].value == pytest.approx((1 + 2 + 3 * 4) / 6)
    sums = figures_of(unit_totals(light), heavy, Metric(Statistic.MEAN_PER_UNIT, QuantileCap(0.75)))
    assert not isinstance(sums, NotEstimable)
    assert sums[1].value == pytest.approx(capped[1].value)


def test_a_cap_comes_before_the_sums() -> None:
    cap = AbsoluteCap(1.0)
    for data in (LIVE, unit_totals(RAW)):
        assert figures_of(data, data, Metric(cap=cap)) == NotEstimable(Cause.CAP_TOO_LATE)
    empty = Sample(np.zeros(0, np.int64), np.zeros(0), 5)
    assert cap_limit(QuantileCap(0.9), empty.values) == NotEstimable(Cause.NO_EVENTS, "control")
    assert figures_of(empty, RAW, Metric(cap=QuantileCap(0.9))) == NotEstimable(
        Cause.NO_EVENTS, "control"
    )
    with pytest.raises(ValueError, match="share"):
        cap_limit(QuantileCap(1.0), RAW.values)


EMPTY: list[Data] = [
    LiveOutcome(OutcomeAggregate(LIVE.outcome.cells.empty(), LIVE.outcome.histogram.empty()), b)
    for b in (empty_bitmap(), LIVE.units, np.full_like(LIVE.units, 255))
]
EMPTY += [Sample(np.zeros(0, np.int64), np.zeros(0), n) for n in (0, 1, 9)]
EMPTY += [
    UnitTotals(np.ones(n, np.int64), np.full(n, v)) for n, v in ((0, 1.0), (1, 3.0), (2, 0.1))
]
EMPTY += [UnitTotals(np.full(3, 10**12), np.array([1e200, -1e200, 1e300]))]


@pytest.mark.parametrize("statistic", Statistic)
def test_empty_arms_and_single_units_give_no_made_up_figures(statistic: Statistic) -> None:
    for data in EMPTY:
        for control, treatment in ((data, RAW), (data, data), (LIVE, data)):
            pair = figures_of(control, treatment, Metric(statistic))
            result = pair if isinstance(pair, NotEstimable) else compare(*pair)
            if isinstance(result, Estimate):
                assert all(map(math.isfinite, (result.interval.lower, result.interval.upper)))
                assert 0 < result.p_value <= 1


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(-1e100, 1e100)), max_size=30),
    st.sampled_from(Statistic),
)
def test_every_figure_is_finite(events: list[tuple[int, float]], statistic: Statistic) -> None:
    unit = np.array([each[0] for each in events], np.int64)
    result = figure_of(Sample(unit, np.array([each[1] for each in events]), 10), statistic)
    if isinstance(result, Figure):
        assert all(map(math.isfinite, (result.value, result.below, result.above)))
        assert result.below >= 0
        assert result.above >= 0


def test_units_whose_values_are_too_large() -> None:
    vast = UnitTotals(np.ones(3, np.int64), np.array([1e308, 1e308, 1e308]))
    assert figure_of(vast, Statistic.MEAN) == NotEstimable(Cause.OVERFLOW)


def test_a_large_mean_with_a_small_deviation_and_huge_counts() -> None:
    rng = np.random.default_rng(4)
    values = 1e9 + rng.standard_normal(20_000)
    raw = Sample(np.arange(values.size), values, values.size)
    for statistic in (Statistic.MEAN, Statistic.MEAN_PER_UNIT):
        assert known(raw, statistic).standard_error == pytest.approx(stats.sem(values), rel=1e-6)
    many = UnitTotals(rng.poisson(1e12, 100), np.ones(100))
    assert known(many, Statistic.RATE).standard_error == pytest.approx(
        stats.sem(many.count.astype(float)), rel=1e-3
    )
