"""What is drawn has the moments that were asked for."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from tests.server.domain.experiments.samples import MINUTE, PLAN
from tidegate.model import PPM
from tidegate_server.analysis.clusters import unit_deviation
from tidegate_server.domain.experiments.plan import Ceiling, MetricName
from tidegate_server.domain.experiments.stream import Fault, Moments, Simulated, Stream
from tidegate_server.domain.experiments.synthetic import HEARD, Synthetic, spread

ERROR, COST = MetricName("error"), MetricName("cost_usd")
RUNS = 40_000
COSTS, DOUBLE = Moments(3.0, 6.0, 4.0), Moments(6.0, 12.0, 4.0)
ERRORS = Moments(0.1, 0.3, 2.67)
STREAM = Stream(
    {
        ERROR: Simulated(ERRORS, ERRORS, False),
        COST: Simulated(COSTS, DOUBLE, False, icc=0.0),
    },
    units_per_minute=60,
    requests_per_unit=1.0,
)
NONE = frozenset[Fault]()


def synthetic(
    stream: Stream = STREAM, runs: int = RUNS, window: timedelta = 2 * MINUTE
) -> Synthetic:
    plan = replace(PLAN, interval=MINUTE, guardrails=(Ceiling(COST, 5.0, window=window),))
    return Synthetic(plan, stream, runs, np.random.default_rng(1))


def test_sums_have_the_mean_deviation_and_skewness_of_sums_of_requests() -> None:
    data = synthetic()
    data.arrive(0, np.full(RUNS, PPM // 2), NONE)
    for arm, moments in enumerate((COSTS, DOUBLE)):
        units, sums = data.units[0, arm], data.sums[COST][0, arm]
        assert units.mean() == pytest.approx(30, rel=0.01)
        assert units.var() == pytest.approx(30, rel=0.03)
        alike = units == 30
        drawn = (sums[alike] - 30 * moments.mean) / (moments.deviation * np.sqrt(30))
        few = 6 / np.sqrt(alike.sum())
        assert drawn.mean() == pytest.approx(0.0, abs=few)
        assert drawn.std() == pytest.approx(1.0, abs=few)
        assert (drawn**3).mean() == pytest.approx(4 / np.sqrt(30), abs=4 * few)


def test_requests_that_are_alike_spread_more() -> None:
    stream = replace(STREAM, requests_per_unit=20.0, variation=0.5)
    metric = replace(STREAM.metrics[COST], icc=0.3)
    data = synthetic(replace(stream, metrics={**STREAM.metrics, COST: metric}))
    data.arrive(0, np.full(RUNS, PPM // 2), NONE)
    means = data.sums[COST][0, 0] / data.units[0, 0]
    deviation = unit_deviation(6.0, 20.0, 0.3, 0.5)
    assert spread(COSTS, 0.3, stream) == deviation
    assert means.std() == pytest.approx(deviation / np.sqrt(30), rel=0.05)
    one_request = replace(STREAM, requests_per_unit=1.0)
    assert spread(COSTS, 0.3, one_request) == pytest.approx(6.0)


def test_arrivals_follow_the_profile_and_begin_anew() -> None:
    data = synthetic(replace(STREAM, arrivals=(0.5, 1.5)), 2_000)
    share, seen = np.full(2_000, PPM // 4), []
    for interval in range(4):
        before = data.units.sum()
        data.arrive(interval, share, NONE)
        seen.append((data.units.sum() - before) / 2_000)
    assert seen == pytest.approx([30, 90, 30, 90], rel=0.02)
    assert data.exposed.mean() == pytest.approx(60, rel=0.02)


def test_the_window_holds_the_last_intervals_of_the_treatment() -> None:
    data = synthetic(runs=3, window=2 * MINUTE)
    (window,) = data.windows
    sums: list[np.ndarray] = []
    for interval in range(5):
        before = data.sums[COST][:, 1].sum(axis=0)
        data.arrive(interval, np.array([PPM, PPM // 2, 0]), NONE)
        sums.append(data.sums[COST][:, 1].sum(axis=0) - before)
        data.begin_phases(np.array([True, False, False]))
        np.testing.assert_allclose(window.total, np.sum(sums[-2:], axis=0))
    assert window.events[2] == 0
    assert window.events[0] == window.units[0] > 60
    assert len(data.units) == 6
    assert (data.units[:, 1, 0] > 0).tolist() == [True] * 5 + [False]
    assert (data.units[1:, :, 1] == 0).all()


def test_faults_keep_units_away() -> None:
    data = synthetic(runs=5_000)
    share = np.full(5_000, PPM // 2)
    data.arrive(0, share, frozenset({Fault.SILENCE}))
    assert data.units.sum() == data.exposed.sum() == 0
    assert (data.heard == -1).all()
    data.arrive(1, share, frozenset({Fault.LOST_UNITS}))
    heard = data.units.mean(axis=(0, 2))
    assert heard == pytest.approx([30, 30 * HEARD], rel=0.02)
    assert data.exposed.mean() == pytest.approx(30, rel=0.02)
    assert (data.heard == 1).all()


def test_runs_that_are_dropped_leave_the_others_as_they_were() -> None:
    data = synthetic(runs=4)
    data.arrive(0, np.array([PPM, PPM // 2, PPM // 2, 0]), NONE)
    kept = np.array([False, True, False, True])
    units, totals, exposed = data.units, data.windows[0].total, data.exposed
    data.keep(kept)
    np.testing.assert_array_equal(data.units, units[..., kept])
    np.testing.assert_array_equal(data.windows[0].total, totals[kept])
    np.testing.assert_array_equal(data.exposed, exposed[kept])
    data.arrive(1, np.array([PPM // 2, 0]), NONE)
    assert data.units.shape == (1, 2, 2)
