import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.histogram import TOP_BIN, bin_edges, bin_index
from tidegate_server.analysis.timeline import Pooled, pool, timeline, window_quantiles
from tidegate_server.analysis.windows import (
    Resolution,
    Windows,
    coarse_bin,
    coarse_bin_edges,
    empty_windows,
    merge_windows,
    of_outcome,
    roll_up,
    windows_of,
)

OUTCOMES = ("", "error", "latency_ms")
START_MS = 1_790_000_000_000 // 3_600_000 * 3_600_000
Row = tuple[int, int, float]

rows_strategy = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 50_000) | st.integers(0, 10**10),
        st.floats(-1e6, 1e6) | st.integers(-3, 5).map(float),
    ),
    max_size=40,
)


def windows(rows: list[Row]) -> Windows:
    """rows: (outcome, ms after START_MS, value)."""
    outcome, after, values = zip(*rows, strict=True) if rows else ((), (), ())
    return windows_of(
        OUTCOMES,
        np.array(outcome, np.int64),
        START_MS + np.array(after, np.int64),
        np.array([1.0 if not o else v for o, v in zip(outcome, values, strict=True)], np.float64),
    )


def plain(rows: list[Row], resolution: Resolution) -> dict[tuple[str, int], list[float]]:
    """The values of each window, one event at a time."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for outcome, after, value in rows:
        index = (START_MS + after) // resolution.length_ms
        found[OUTCOMES[outcome], index].append(value if outcome else 1.0)
    return found


def bins_of(made: Windows, row: int) -> dict[int, int]:
    mine = made.bin_row == row
    return dict(zip(made.bin[mine].tolist(), made.bin_count[mine].tolist(), strict=True))


def keys_of(made: Windows) -> list[tuple[str, int]]:
    names = [made.outcomes[each] for each in made.outcome]
    return list(zip(names, made.index.tolist(), strict=True))


def assert_same(left: Windows, right: Windows) -> None:
    assert left.resolution is right.resolution
    assert keys_of(left) == keys_of(right)
    assert left.count.tolist() == right.count.tolist()
    scale = 1 + float(np.abs(left.total).max(initial=0) + left.m2.max(initial=0) ** 0.5)
    np.testing.assert_allclose(left.total, right.total, rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(left.m2, right.m2, rtol=1e-9, atol=1e-12 * scale**2)
    for name in ("bin_row", "bin", "bin_count"):
        assert getattr(left, name).tolist() == getattr(right, name).tolist()


@settings(deadline=None)
@given(rows_strategy, st.sampled_from(Resolution))
def test_agrees_with_a_plain_loop(rows: list[Row], resolution: Resolution) -> None:
    made = roll_up(windows(rows), resolution)
    expected = plain(rows, resolution)
    assert keys_of(made) == sorted(expected)
    for row, key in enumerate(keys_of(made)):
        values = expected[key]
        mean = math.fsum(values) / len(values)
        scale = 1 + math.fsum(abs(value) for value in values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        assert made.count[row] == len(values)
        assert made.total[row] == pytest.approx(math.fsum(values), abs=1e-12 * scale)
        assert made.m2[row] == pytest.approx(squares, rel=1e-9, abs=1e-12 * scale**2)
        counts: dict[int, int] = defaultdict(int)
        for value in values if key[0] else []:
            counts[int(coarse_bin(bin_index(np.array([value])))[0])] += 1
        assert bins_of(made, row) == counts


@settings(deadline=None)
@given(rows_strategy, st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_order_and_any_parts_give_the_same(rows: list[Row], random: object, parts: int) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    made = merge_windows([windows(shuffled[part::parts]) for part in range(parts)])
    assert_same(made, windows(rows))
    for resolution in Resolution:
        rolled = [roll_up(windows(shuffled[part::parts]), resolution) for part in range(parts)]
        assert_same(merge_windows(rolled), roll_up(windows(rows), resolution))


def test_integers_add_up_exactly() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**40, 20_000).astype(np.float64)
    times = START_MS + rng.integers(0, 100_000, 20_000)
    made = [
        windows_of(("n",), np.zeros(part.size, np.int64), times[part], values[part])
        for part in np.array_split(rng.permutation(20_000), 7)
    ]
    assert int(merge_windows(made).total.sum()) == int(values.sum())


def test_a_mean_of_a_thousand_million_and_a_deviation_of_one() -> None:
    rng = np.random.default_rng(2)
    made = empty_windows(Resolution.TEN_SECONDS)
    for _ in range(20):
        values = 1e9 + rng.standard_normal(10_000)
        part = windows_of(("n",), np.zeros(10_000, np.int64), np.full(10_000, START_MS), values)
        made = merge_windows([made, part])
    variance = made.m2[0] / (made.count[0] - 1)
    assert variance == pytest.approx(1.0, abs=5 * math.sqrt(2 / 200_000))


def test_no_events_make_no_windows() -> None:
    made = windows([])
    assert keys_of(made) == []
    assert_same(merge_windows([made, made]), empty_windows(Resolution.TEN_SECONDS))
    assert keys_of(roll_up(made, Resolution.HOUR)) == []


def test_each_fine_bin_lies_in_its_coarse_bin() -> None:
    fine = np.arange(-TOP_BIN, TOP_BIN + 1)
    near, far = bin_edges(fine)
    low, high = coarse_bin_edges(coarse_bin(fine))
    assert (np.abs(low) <= np.abs(near)).all()
    assert (np.abs(far) <= np.abs(high)).all()
    assert (np.sign(low) == np.sign(near)).all()
    assert coarse_bin(np.array([0])).tolist() == [0]
    assert np.unique(coarse_bin(fine)).size == 2 * (60 * 16 + 1) + 1


values_strategy = st.lists(
    st.floats(2.0**-20, 2.0**40).flatmap(lambda v: st.sampled_from([v, -v])) | st.just(0.0),
    min_size=1,
    max_size=50,
)


@settings(deadline=None)
@given(values_strategy, st.sampled_from([0.01, 0.5, 0.95, 0.99]))
def test_a_quantile_is_within_three_percent(values: list[float], share: float) -> None:
    made = windows([(2, 0, value) for value in values])
    exact = np.quantile(values, share, method="inverted_cdf")
    found = window_quantiles(made, [share])[0, 0]
    assert abs(found - exact) <= abs(exact) / 33 * (1 + 1e-12)


def test_a_timeline() -> None:
    rows: list[Row] = [(0, 0, 1.0), (1, 0, 0.0), (1, 9_999, 1.0), (1, 30_000, 1.0)]
    rows += [(2, 0, float(value)) for value in range(1, 21)]
    errors = timeline(windows(rows), "error")
    assert errors.start_ms.tolist() == [START_MS, START_MS + 30_000]
    assert errors.count.tolist() == [2, 1]
    assert errors.rate.tolist() == [0.2, 0.1]
    assert errors.mean.tolist() == [0.5, 1.0]
    assert errors.quantiles.tolist() == [[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    latency = timeline(windows(rows), "latency_ms")
    assert latency.quantiles.tolist() == [[10.0, 19.0, 20.0]], "whole numbers below 32 are exact"
    exposures = timeline(windows(rows), "")
    assert (exposures.count.tolist(), exposures.quantiles.shape) == ([1], (1, 0))
    assert timeline(windows(rows), "rating").count.size == 0


def test_windows_are_pooled() -> None:
    rows: list[Row] = [(2, 10_000 * i, float(i)) for i in range(12)]
    found = pool(windows(rows), "latency_ms")
    assert isinstance(found, Pooled)
    assert (found.count, found.total, found.mean) == (12, 66.0, 5.5)
    assert found.m2 == pytest.approx(143.0)
    assert pool(windows(rows), "error") == NotEstimable(Cause.NO_EVENTS)


def test_windows_of_one_outcome() -> None:
    rows: list[Row] = [(1, 0, 0.0), (2, 0, 7.0), (1, 20_000, 1.0), (2, 20_000, 9.0)]
    chosen = of_outcome(windows(rows), "error")
    assert_same(chosen, of_outcome(windows([rows[0], rows[2]]), "error"))
    assert keys_of(chosen) == keys_of(windows([rows[0], rows[2]]))
    assert keys_of(of_outcome(windows(rows), "rating")) == []


def test_times_far_apart_take_no_memory_for_what_lies_between() -> None:
    times = np.array([0, 7_258_118_399_999])
    made = windows_of(("n",), np.zeros(2, np.int64), times, np.array([1.0, -(2.0**50)]))
    assert made.index.tolist() == [0, 725_811_839]
