import math

import numpy as np
import pytest
from scipy import stats

from tidegate_server.analysis.crossover import Crossover, _chance, crossover, crossovers
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.units import bitmap_of, empty_bitmap


def hashes(rng: np.random.Generator, number: int) -> np.ndarray:
    return rng.integers(0, 2**64, number, dtype=np.uint64)


def estimate(rng: np.random.Generator, units: int, both: int) -> Crossover:
    """Two arms of `units` each, `both` of which are in either."""
    common = hashes(rng, both)
    left, right = (bitmap_of(np.concatenate([common, hashes(rng, units - both)])) for _ in range(2))
    found = crossover(left, right)
    assert isinstance(found, Crossover)
    return found


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1])
@pytest.mark.parametrize(("units", "runs"), [(1_000, 200), (10_000, 200), (100_000, 60)])
def test_unbiased_with_an_honest_error(units: int, runs: int, share: float) -> None:
    """Bounds are four standard deviations of the simulation itself."""
    rng = np.random.default_rng(units)
    both = int(units * share)
    found = [estimate(rng, units, both) for _ in range(runs)]
    values = np.array([each.units for each in found])
    error = float(np.mean([each.standard_error for each in found]))
    assert values.mean() == pytest.approx(both, abs=4 * error / math.sqrt(runs))
    assert values.std(ddof=1) == pytest.approx(error, rel=4 / math.sqrt(2 * runs))
    missed = np.mean([abs(each.units - both) > 1.96 * each.standard_error for each in found])
    assert missed <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


def test_a_million_units() -> None:
    rng = np.random.default_rng(6)
    for both in (0, 1_000, 10_000, 100_000):
        found = estimate(rng, 1_000_000, both)
        assert found.standard_error < 1_700
        assert found.units == pytest.approx(both, abs=4 * found.standard_error)


def test_a_p_value_keeps_its_promise_without_crossover() -> None:
    rng = np.random.default_rng(7)
    p_values = np.array([estimate(rng, 5_000, 0).p_value for _ in range(600)])
    for level in (0.01, 0.05, 0.2):
        bound = level + 4 * math.sqrt(level * (1 - level) / 600)
        assert (p_values <= level).mean() <= bound


def test_a_p_value_is_that_of_the_hypergeometric_distribution() -> None:
    rng = np.random.default_rng(9)
    for _ in range(300):
        bits = int(rng.integers(8, 1 << 20))
        left, right = (int(each) for each in rng.integers(0, bits + 1, 2))
        least, mean = max(0, left + right - bits), left * right / bits
        near = np.clip(rng.normal(mean, math.sqrt(mean + 1)), least, min(left, right))
        for common in (least, int(near), min(left, right)):
            expected = stats.hypergeom.sf(common - 1, bits, left, right)
            assert _chance(common, bits, left, right) == pytest.approx(expected, 1e-6, 1e-250)


def test_a_crossover_of_one_percent_is_seen() -> None:
    rng = np.random.default_rng(8)
    for units in (1_000, 10_000, 100_000):
        assert estimate(rng, units, units // 100).p_value < 1e-4


def test_one_variant_is_wholly_in_the_other() -> None:
    units = hashes(np.random.default_rng(9), 20_000)
    found = crossover(bitmap_of(units), bitmap_of(units[:500]))
    assert isinstance(found, Crossover)
    assert found.units == pytest.approx(500, abs=4 * found.standard_error)
    same = crossover(bitmap_of(units), bitmap_of(units))
    assert isinstance(same, Crossover)
    assert same.units == pytest.approx(20_000, abs=4 * same.standard_error)


def test_no_units_at_all() -> None:
    units = bitmap_of(hashes(np.random.default_rng(9), 100))
    assert crossover(empty_bitmap(), units) == Crossover(0.0, 0.0, 1.0)


def test_a_full_bitmap_can_not_tell() -> None:
    full = np.full_like(empty_bitmap(), 255)
    assert crossover(full, empty_bitmap()) == NotEstimable(Cause.SATURATED)


def test_all_pairs() -> None:
    rng = np.random.default_rng(10)
    left, right = hashes(rng, 1_000), hashes(rng, 1_000)
    maps = {"b": bitmap_of(left), "a": bitmap_of(right), "c": bitmap_of(left)}
    found = crossovers(maps)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found["a", "b"] == crossover(maps["a"], maps["b"])
    assert crossovers({"a": maps["a"]}) == {}
