from datetime import timedelta

import numpy as np
import pytest

from tidegate_server.domain.experiments.trace import Trace

MINUTE = timedelta(minutes=1)


def test_arrivals_are_counted_in_whole_intervals() -> None:
    trace = Trace(np.array([5.0, 6.0, 64.9, 65.0, 70.0, 90.0, 124.0, 126.0]), {})
    assert trace.duration == timedelta(seconds=121)
    assert trace.requests_per_minute == pytest.approx(8 / 121 * 60)
    assert trace.arrivals(MINUTE) == pytest.approx((3 / 3.5, 4 / 3.5))
    assert trace.arrivals(10 * MINUTE) == (1.0,)


def test_units_tell_how_many_requests_they_send_and_how_alike_they_are() -> None:
    rng = np.random.default_rng(3)
    units = rng.integers(0, 300, 6_000)
    level = rng.normal(0, 0.6, 300)
    values = 10 + level[units] + rng.normal(0, 0.8, units.size)
    trace = Trace(np.arange(6_000.0), {"latency_ms": values}, units)
    mean, variation = trace.requests_per_unit or (0.0, 0.0)
    assert mean == pytest.approx(20)
    assert variation == pytest.approx(20**-0.5, rel=0.2)
    assert trace.icc("latency_ms") == pytest.approx(0.36, abs=0.06)
    bare = Trace(trace.seconds, trace.outcomes)
    assert (bare.requests_per_unit, bare.icc("latency_ms")) == (None, None)
