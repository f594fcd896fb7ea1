import numpy as np
import pytest
from scipy import stats

from tidegate_server.analysis.effects import Alternative, Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.ranks import RankComparison, mann_whitney


def known(control: np.ndarray, treatment: np.ndarray, **options: object) -> RankComparison:
    result = mann_whitney(control, treatment, **options)  # type: ignore[arg-type]
    assert isinstance(result, RankComparison)
    return result


@pytest.mark.parametrize("alternative", Alternative)
@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_scipy(alternative: Alternative, *, ties: bool) -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.lognormal(1, 1, 300), rng.lognormal(1.2, 1, 80)
    if ties:
        control, treatment = np.round(control), np.round(treatment)
    result = known(control, treatment, alternative=alternative)
    reference = stats.mannwhitneyu(
        treatment, control, alternative=alternative.value, method="asymptotic"
    )
    assert result.statistic == reference.statistic
    assert result.p_value == pytest.approx(reference.pvalue, rel=1e-9)


def test_the_interval_covers_the_true_chance() -> None:
    """Of normal values half a deviation apart it is Φ(0.5 / √2), also where arms are uneven."""
    rng, runs = np.random.default_rng(2), 1_500
    true = stats.norm.cdf(0.5 / np.sqrt(2))
    covered = 0
    for _ in range(runs):
        interval = known(rng.normal(0, 1, 150), rng.normal(0.5, 1, 60)).interval
        assert isinstance(interval, Interval)
        covered += interval.lower <= true <= interval.upper
    assert abs(covered / runs - 0.95) <= 3 * np.sqrt(0.05 * 0.95 / runs) + 0.01


def test_what_cannot_be_said() -> None:
    ones, two = np.ones(5), np.array([2.0, 3.0])
    assert mann_whitney(ones, np.ones(1)) == NotEstimable(Cause.TOO_FEW_UNITS)
    assert mann_whitney(ones, ones) == NotEstimable(Cause.ZERO_VARIANCE)
    apart = known(ones, two)
    assert apart.probability == 1.0
    assert apart.interval == NotEstimable(Cause.ZERO_VARIANCE)
    assert apart.p_value < 0.06


def test_very_many_equal_values_have_no_variation() -> None:
    """Rounding leaves a deviation of 1e-5 of a million ties."""
    equal = np.ones(1_000_007)
    assert mann_whitney(equal[:500_000], equal[500_000:]) == NotEstimable(Cause.ZERO_VARIANCE)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="must be numbers"):
        mann_whitney(np.array([1.0, np.nan, 2.0]), np.array([1.0, 3.0]))
    endless = known(np.array([1.0, 2.0, np.inf]), np.array([3.0, 4.0, -np.inf]))
    assert 0 < endless.p_value <= 1


def test_large_samples_do_not_overflow() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 5, 400_000).astype(float)
    reference = stats.mannwhitneyu(values[200_000:], values[:200_000], method="asymptotic")
    result = known(values[:200_000], values[200_000:])
    assert result.p_value == pytest.approx(reference.pvalue, rel=1e-6)
