import copy
import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.model import FlagKey, Phase, VariantKey
from tidegate_server.analysis.aggregates import GROUPS, ArmAggregate
from tidegate_server.analysis.histogram import bin_index, bins
from tidegate_server.analysis.moments import sample_deviation
from tidegate_server.analysis.units import bitmap_of
from tidegate_server.analysis.windows import Resolution, merge_windows, roll_up
from tidegate_server.domain.events import Arm, Events, Series
from tidegate_server.worker.fold import fold, fold_windows
from tidegate_server.worker.run import join


def arm(variant: str, phase: int = 1) -> Arm:
    return Arm(FlagKey("chat"), Phase(phase), VariantKey(variant))


SERIES = tuple(
    Series(each, outcome)
    for each in (arm("v1"), arm("v2"), arm("v2", 2))
    for outcome in ("", "latency_ms", "error")
)
Row = tuple[int, int, int, float]


def events_of(
    rows: list[Row],
    series: tuple[Series, ...] = SERIES,
    dropped: dict[Arm, int] | None = None,
) -> Events:
    """rows: (series index, unit hash, time in ms, value)."""
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return Events(
        series,
        np.array(columns[0], np.int64),
        np.array(columns[1], np.uint64),
        np.array(columns[2], np.int64),
        np.array(columns[3], np.float64),
        dropped or {},
    )


rows_strategy = st.lists(
    st.tuples(
        st.integers(0, len(SERIES) - 1),
        st.integers(0, 2**64 - 1),
        st.integers(1_700_000_000_000, 1_700_000_100_000),
        st.floats(-1e9, 1e9) | st.integers(0, 5).map(float),
    ),
    max_size=60,
)


def plain_fold(rows: list[Row], into: Arm) -> dict[str, object]:
    """One event at a time, in the plainest Python."""
    mine = [row for row in rows if SERIES[row[0]].arm == into]
    cells: dict[tuple[str, int], list[float]] = defaultdict(list)
    counts: dict[tuple[str, int, int], int] = defaultdict(int)
    for index, unit_hash, _, value in mine:
        outcome = SERIES[index].outcome
        if outcome:
            cells[outcome, unit_hash >> 56].append(value)
            counts[outcome, unit_hash >> 58, int(bin_index(np.array([value]))[0])] += 1
    return {
        "exposures": sum(1 for row in mine if not SERIES[row[0]].outcome),
        "first_ms": min((row[2] for row in mine), default=0),
        "last_ms": max((row[2] for row in mine), default=0),
        "units": {(row[1] >> 58, row[1] >> 42 & 0x3FFF) for row in mine},
        "cells": cells,
        "counts": counts,
    }


def units_of(bitmap: np.ndarray) -> set[tuple[int, int]]:
    bits = np.unpackbits(bitmap, axis=1, bitorder="little")
    return {(int(row), int(bit)) for row, bit in zip(*bits.nonzero(), strict=True)}


def counts_of(aggregate: ArmAggregate) -> dict[tuple[str, int, int], int]:
    return {
        (name, int(group), int(bins(outcome.histogram)[column])): int(
            outcome.histogram.counts[group, column]
        )
        for name, outcome in aggregate.outcomes.items()
        for group, column in zip(*outcome.histogram.counts.nonzero(), strict=True)
    }


@given(rows_strategy)
def test_agrees_with_a_plain_fold(rows: list[Row]) -> None:
    folded = fold(events_of(rows), {})
    assert folded.keys() == {SERIES[row[0]].arm for row in rows}
    for each, aggregate in folded.items():
        expected = plain_fold(rows, each)
        assert aggregate.exposures == expected["exposures"]
        assert (aggregate.first_ms, aggregate.last_ms) == (
            expected["first_ms"],
            expected["last_ms"],
        )
        assert units_of(aggregate.units) == expected["units"]
        assert counts_of(aggregate) == expected["counts"]
        cells = expected["cells"]
        assert isinstance(cells, dict)
        for (outcome, cell), values in cells.items():
            kept = aggregate.outcomes[outcome].cells
            mean = math.fsum(values) / len(values)
            scale = math.fsum(abs(value) for value in values)
            assert kept.count[cell] == len(values)
            assert kept.total[cell] == pytest.approx(
                math.fsum(values), rel=1e-12, abs=1e-13 * scale
            )
            assert kept.m2[cell] == pytest.approx(
                math.fsum((value - mean) ** 2 for value in values), rel=1e-9, abs=1e-13 * scale**2
            )
        for outcome in aggregate.outcomes.values():
            assert outcome.cells.count.sum() == outcome.histogram.counts.sum()


def assert_same(left: Mapping[Arm, ArmAggregate], right: Mapping[Arm, ArmAggregate]) -> None:
    assert left.keys() == right.keys()
    for each, one in left.items():
        other = right[each]
        assert np.array_equal(one.units, other.units)
        assert (one.exposures, one.dropped) == (other.exposures, other.dropped)
        assert (one.first_ms, one.last_ms) == (other.first_ms, other.last_ms)
        assert counts_of(one) == counts_of(other)
        for name, outcome in one.outcomes.items():
            cells, others = outcome.cells, other.outcomes[name].cells
            scale = 1 + float(np.abs(cells.total).max() + cells.m2.max() ** 0.5)
            assert np.array_equal(cells.count, others.count)
            np.testing.assert_allclose(cells.total, others.total, rtol=1e-12, atol=1e-12 * scale)
            np.testing.assert_allclose(cells.m2, others.m2, rtol=1e-9, atol=1e-12 * scale**2)


@settings(deadline=None)
@given(rows_strategy, rows_strategy)
def test_in_two_steps_as_in_one(first: list[Row], second: list[Row]) -> None:
    step = fold(events_of(first), {})
    assert_same(fold(events_of(first + second), {}), {**step, **fold(events_of(second), step)})


def random_events(number: int, seed: int = 1) -> Events:
    rng = np.random.default_rng(seed)
    return Events(
        SERIES,
        rng.integers(0, len(SERIES), number),
        rng.integers(0, 2**64, number, dtype=np.uint64),
        rng.integers(1_700_000_000_000, 1_700_000_100_000, number),
        rng.lognormal(4, 1, number),
        {arm("v1"): 3},
    )


def test_never_changes_what_it_is_given() -> None:
    events = random_events(2_000)
    arms = fold(events, {})
    before = copy.deepcopy(arms)
    fold(random_events(2_000, seed=2), arms)
    assert_same(arms, before)
    assert [arms[each].dropped for each in arms] == [before[each].dropped for each in before]


def test_returns_only_the_arms_it_touched() -> None:
    arms = fold(random_events(100), {})
    only = fold(events_of([(0, 7, 1_000, 1.0)]), arms)
    assert set(only) == {arm("v1")}
    assert only[arm("v1")].exposures == arms[arm("v1")].exposures + 1
    assert only[arm("v1")].outcomes["error"] is arms[arm("v1")].outcomes["error"]
    assert fold(events_of([]), arms) == {}


def test_integers_add_up_exactly() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 2**40, 20_000)
    aggregate: dict[Arm, ArmAggregate] = {}
    for part in np.array_split(values, 10):
        rows = [(1, int(rng.integers(0, 2**63)), 1, float(value)) for value in part]
        aggregate = fold(events_of(rows), aggregate)
    cells = aggregate[arm("v1")].outcomes["latency_ms"].cells
    assert int(cells.total.sum()) == int(values.sum())
    assert int(cells.count.sum()) == 20_000


def test_mean_a_thousand_million_and_deviation_one() -> None:
    rng = np.random.default_rng(4)
    aggregate: dict[Arm, ArmAggregate] = {}
    for _ in range(20):
        number = 10_000
        events = Events(
            SERIES,
            np.ones(number, np.int64),
            rng.integers(0, 2**64, number, dtype=np.uint64),
            np.ones(number, np.int64),
            1e9 + rng.standard_normal(number),
            {},
        )
        aggregate = fold(events, aggregate)
    cells = aggregate[arm("v1")].outcomes["latency_ms"].cells
    assert sample_deviation(cells) == pytest.approx(1.0, abs=4 / np.sqrt(2 * 200_000))


def test_every_event_marks_its_unit() -> None:
    hashes = [11 << 42, 2**63 + (5 << 42), 2**64 - 1]
    rows = [(index, unit_hash, 5, 1.0) for index, unit_hash in enumerate(hashes)]
    assert np.array_equal(
        fold(events_of(rows), {})[arm("v1")].units, bitmap_of(np.array(hashes, np.uint64))
    )


def test_losses_are_added_even_without_events() -> None:
    lost = {arm("v1"): 2, arm("v2"): 1}
    once = fold(events_of([(0, 1, 5, 1.0)], dropped=lost), {})
    twice = fold(events_of([], dropped=lost), once)
    assert [twice[each].dropped for each in (arm("v1"), arm("v2"))] == [4, 2]
    assert (twice[arm("v1")].first_ms, twice[arm("v1")].last_ms) == (5, 5)
    assert (twice[arm("v2")].first_ms, twice[arm("v2")].last_ms) == (0, 0)


def test_a_series_named_twice_is_one() -> None:
    twice = (SERIES[1], SERIES[1])
    folded = fold(events_of([(0, 1, 5, 2.0), (1, 1, 6, 3.0)], twice), {})
    assert folded[arm("v1")].outcomes["latency_ms"].cells.total.sum() == 5.0


def test_more_series_than_sixteen_bits_can_number() -> None:
    series = tuple(Series(arm(f"v{i}"), "error") for i in range(70_000))
    folded = fold(events_of([(69_999, 1, 5, 2.0), (3, 1, 6, 3.0)], series), {})
    assert set(folded) == {arm("v69999"), arm("v3")}
    assert folded[arm("v69999")].outcomes["error"].cells.total[0] == 2.0


def test_groups_are_four_cells() -> None:
    rows = [(1, cell << 56, 1, 1.0) for cell in range(256)]
    outcome = fold(events_of(rows), {})[arm("v1")].outcomes["latency_ms"]
    assert outcome.histogram.counts.sum(axis=1).tolist() == [4] * GROUPS
    assert outcome.cells.count.tolist() == [1] * 256


@settings(deadline=None)
@given(rows_strategy)
def test_windows_count_what_the_aggregates_count(rows: list[Row]) -> None:
    folded, windows = fold(events_of(rows), {}), fold_windows(events_of(rows))
    assert windows.keys() == {(each, resolution) for each in folded for resolution in Resolution}
    for (each, _), made in windows.items():
        counts = {"": folded[each].exposures} | {
            name: int(outcome.cells.count.sum()) for name, outcome in folded[each].outcomes.items()
        }
        found = dict.fromkeys(made.outcomes, 0)
        for place, count in zip(made.outcome, made.count, strict=True):
            found[made.outcomes[place]] += int(count)
        assert found == {name: count for name, count in counts.items() if count}


def test_late_events_go_to_their_own_phase_and_window() -> None:
    now, late = 1_790_000_000_000, 1_790_000_000_000 - 7_200_000
    rows = [(4, 1, now, 5.0), (7, 2, late, 6.0), (4, 3, late, 7.0)]
    windows = fold_windows(events_of(rows))
    in_first = windows[arm("v2"), Resolution.TEN_SECONDS]
    assert in_first.index.tolist() == [late // 10_000, now // 10_000]
    assert in_first.total.tolist() == [7.0, 5.0]
    in_second = windows[arm("v2", 2), Resolution.HOUR]
    assert (in_second.index.tolist(), in_second.total.tolist()) == ([late // 3_600_000], [6.0])


def test_windows_in_two_steps_as_in_one() -> None:
    both = [random_events(3_000, seed=1), random_events(2_000, seed=2)]
    first, second = (fold_windows(each) for each in both)
    for key, made in fold_windows(join(both)).items():
        merged = merge_windows([first[key], second[key]])
        assert merged.index.tolist() == made.index.tolist()
        assert merged.count.tolist() == made.count.tolist()
        assert merged.bin_count.tolist() == made.bin_count.tolist()
        np.testing.assert_allclose(merged.total, made.total, rtol=1e-12)
        np.testing.assert_allclose(merged.m2, made.m2, rtol=1e-9)
        rolled = roll_up(first[key[0], Resolution.TEN_SECONDS], key[1])
        assert rolled.count.tolist() == first[key].count.tolist()
