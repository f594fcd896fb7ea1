import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from tidegate_server.analysis.mixture import (
    always_valid_p_value,
    concentration_for,
    log_mixture_ratio,
)


def plainly(counts: np.ndarray, prior: np.ndarray, null: np.ndarray) -> float:
    """The formula as it is printed: Lindon and Malek 2022."""
    size, weight = counts.sum(), prior.sum()
    return float(
        (gammaln(prior + counts) - gammaln(prior) - counts * np.log(null)).sum()
        - gammaln(weight + size)
        + gammaln(weight)
    )


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_the_plain_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arms = int(rng.integers(2, 6))
    null = rng.dirichlet(np.ones(arms))
    prior = rng.uniform(0.1, 1_000) * rng.dirichlet(np.ones(arms))
    counts = rng.multinomial(rng.integers(0, 3_000), rng.dirichlet(np.ones(arms))).astype(float)
    expected = plainly(counts, prior, null)
    assert log_mixture_ratio(counts, prior, null) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_agrees_with_confseq() -> None:
    """Howard's reference values of beta_binomial_log_mixture(10, 100, 100, 0.2, 0.8, two-sided) and
    beta_binomial_mixture_bound (gostevehoward/confseq, test of uniform_boundaries): 625 trials at a
    rate of 0.2 have variance 100, and their sum less its mean is 10 or 31.4308."""
    null = np.array([0.2, 0.8])
    prior = concentration_for(100 / 0.16, 0.05) * null
    near, far = (np.array([125 + s, 500 - s]) for s in (10.0, 31.4308))
    assert log_mixture_ratio(near, prior, null) == pytest.approx(-0.6941012, abs=1e-6)
    assert log_mixture_ratio(far, prior, null) == pytest.approx(math.log(20), abs=1e-5)


@pytest.mark.parametrize("size", [1e6, 1e9, 1e12])
def test_keeps_its_digits_at_large_counts(size: float) -> None:
    """Against the normal mixture, to which it tends: z standard errors off an even split."""
    z, weight = 4.0, 1e4
    null = np.array([0.5, 0.5])
    counts = size * null + z * math.sqrt(size) / 2 * np.array([1, -1])
    expected = 0.5 * (z**2 * size / (size + weight) - math.log1p(size / weight))
    found = log_mixture_ratio(counts, weight * null, null)
    assert found == pytest.approx(expected, abs=1e-4 + 20 / math.sqrt(size))


def test_no_counts_are_no_evidence() -> None:
    null = np.array([0.2, 0.3, 0.5])
    assert log_mixture_ratio(np.zeros(3), 7 * null, null) == pytest.approx(0.0, abs=1e-12)


@given(
    st.lists(st.floats(0, 1e15), min_size=2, max_size=4),
    st.floats(1e-3, 1e6),
    st.floats(1e-9, 0.5),
)
def test_is_finite(counts: list[float], weight: float, least: float) -> None:
    null = np.full(len(counts), (1 - least) / (len(counts) - 1))
    null[0] = least
    evidence = log_mixture_ratio(np.array(counts), weight * null, null)
    assert math.isfinite(evidence)
    assert 0 < always_valid_p_value(evidence) <= 1


def test_is_a_martingale_under_the_null() -> None:
    """Its expectation after ten trials is 1: all 11 outcomes summed."""
    null, prior = np.array([0.3, 0.7]), np.array([2.0, 1.0])
    expectation = sum(
        math.comb(10, k)
        * 0.3**k
        * 0.7 ** (10 - k)
        * math.exp(log_mixture_ratio(np.array([k, 10.0 - k]), prior, null))
        for k in range(11)
    )
    assert expectation == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("planned", [0.0, math.inf, math.nan])
def test_a_plan_must_be_positive(planned: float) -> None:
    with pytest.raises(ValueError, match="planned"):
        concentration_for(planned, 0.05)


def test_a_small_plan_has_the_flattest_prior() -> None:
    assert concentration_for(1.0, 0.05) == 1.0
