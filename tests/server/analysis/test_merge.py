from dataclasses import replace

import numpy as np

from tests.server.analysis.simulation import outcome
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.merge import merge_arms
from tidegate_server.analysis.units import bitmap_of

HASHES = np.random.default_rng(1).integers(0, 2**64, 100, dtype=np.uint64)
LATENCY = outcome(HASHES[:60], np.arange(60.0))
ERROR = outcome(HASHES[60:], np.ones(40))
LEFT = ArmAggregate(bitmap_of(HASHES[:60]), 3, 1, 1_000, 5_000, {"latency_ms": LATENCY})
RIGHT = ArmAggregate(
    bitmap_of(HASHES[50:]), 4, 0, 500, 4_000, {"latency_ms": LATENCY, "error": ERROR}
)


def test_counts_add_up_and_times_widen() -> None:
    both = merge_arms(LEFT, RIGHT)
    assert (both.exposures, both.dropped) == (7, 1)
    assert (both.first_ms, both.last_ms) == (500, 5_000)
    assert np.array_equal(both.units, bitmap_of(HASHES))
    assert both.outcomes["latency_ms"].cells.count.sum() == 120
    assert both.outcomes["latency_ms"].histogram.counts.sum() == 120


def test_what_one_side_alone_has_is_shared() -> None:
    assert merge_arms(LEFT, RIGHT).outcomes["error"] is ERROR


def test_an_arm_without_events_moves_no_time() -> None:
    dropped_only = replace(ArmAggregate.empty(), dropped=2)
    for both in (merge_arms(LEFT, dropped_only), merge_arms(dropped_only, LEFT)):
        assert (both.first_ms, both.last_ms, both.dropped) == (1_000, 5_000, 3)
    nothing = merge_arms(ArmAggregate.empty(), dropped_only)
    assert (nothing.first_ms, nothing.last_ms) == (0, 0)


def test_no_input_is_changed() -> None:
    kept = (LATENCY.cells.count, LATENCY.cells.m2, LATENCY.histogram.counts, LEFT.units)
    before = [each.tobytes() for each in kept]
    merge_arms(LEFT, RIGHT)
    assert [each.tobytes() for each in kept] == before
