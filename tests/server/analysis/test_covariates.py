import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from tests.server.analysis.simulation import monte_carlo_error
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.covariates import Adjusted, cuped, post_stratify
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, bare_figure
from tidegate_server.analysis.means import mean_per_unit_figure, unit_mean_figure
from tidegate_server.analysis.phases import Pair
from tidegate_server.analysis.samples import UnitTotals


def per_unit(values: np.ndarray) -> Figure:
    result = mean_per_unit_figure(UnitTotals(np.ones(values.size, np.int64), values))
    assert isinstance(result, Figure)
    return result


def ratio(count: np.ndarray, total: np.ndarray) -> Figure:
    result = unit_mean_figure(UnitTotals(count, total))
    assert isinstance(result, Figure)
    return result


def known(result: Adjusted | NotEstimable) -> Adjusted:
    assert isinstance(result, Adjusted)
    return result


def estimate(control: Figure, treatment: Figure) -> Estimate:
    result = compare(control, treatment)
    assert isinstance(result, Estimate)
    return result


def arms(
    rng: np.random.Generator, sizes: tuple[int, int], covariates: int = 1, effect: float = 0.0
) -> tuple[Pair, list[Pair], list[tuple[np.ndarray, np.ndarray]]]:
    raw = []
    for size, lift in zip(sizes, (0.0, effect), strict=True):
        x = rng.normal(5, 1, (covariates, size))
        raw.append((x, 1 + x.sum(axis=0) + rng.normal(0, 1, size) + lift))
    pair = per_unit(raw[0][1]), per_unit(raw[1][1])
    inputs = [(per_unit(raw[0][0][i]), per_unit(raw[1][0][i])) for i in range(covariates)]
    return pair, inputs, raw


@pytest.mark.parametrize("covariates", [1, 3])
def test_with_even_arms_it_is_analysis_of_covariance(covariates: int) -> None:
    """statsmodels' least squares on an intercept, the arm and the covariates."""
    pair, inputs, raw = arms(np.random.default_rng(1), (400, 400), covariates, 0.2)
    result = known(cuped(pair, inputs))
    x = np.concatenate([raw[0][0], raw[1][0]], axis=1).T
    y = np.concatenate([raw[0][1], raw[1][1]])
    design = np.column_stack([np.ones(800), np.repeat([0.0, 1.0], 400), x])
    reference = sm.OLS(y, design).fit()
    assert result.coefficients == pytest.approx(tuple(reference.params[2:]), rel=1e-9)
    difference = result.treatment.value - result.control.value
    assert difference == pytest.approx(reference.params[1], rel=1e-9)
    error = estimate(result.control, result.treatment).effect.standard_error
    assert error == pytest.approx(reference.bse[1], rel=0.02)


def test_one_covariate_is_that_of_deng_et_al() -> None:
    """θ = cov / var and the variance falls by ρ² (eq. 4 of the paper of 2013)."""
    rng = np.random.default_rng(2)
    pair, inputs, raw = arms(rng, (5_000, 5_000))
    result = known(cuped(pair, inputs))
    squares = [np.cov(x[0], y) for x, y in raw]
    theta = sum(each[0, 1] for each in squares) / sum(each[0, 0] for each in squares)
    assert result.coefficients[0] == pytest.approx(theta, rel=1e-9)
    correlation = sum(each[0, 1] for each in squares) ** 2 / (
        sum(each[0, 0] for each in squares) * sum(each[1, 1] for each in squares)
    )
    assert result.variance_reduction == pytest.approx(correlation, abs=1e-3)


def test_a_ratio_is_adjusted_by_the_ratio_before() -> None:
    """Latency per request by the same user's before, at uneven numbers of requests.

    The variance that is promised is that of repeated experiments.
    """
    rng, runs = np.random.default_rng(3), 500
    raw, adjusted, promised = [], [], []
    for _ in range(runs):
        before: list[Figure] = []
        after: list[Figure] = []
        for size in (300, 100):
            level = rng.normal(0, 0.5, size)
            for figures in (before, after):
                count = rng.geometric(0.5, size)
                total = count * np.exp(level) + rng.normal(0, np.sqrt(count), size) * 0.2
                figures.append(ratio(count, total))
        result = known(cuped((after[0], after[1]), [(before[0], before[1])]))
        raw.append(after[1].value - after[0].value)
        adjusted.append(result.treatment.value - result.control.value)
        promised.append(estimate(result.control, result.treatment).effect.standard_error)
    assert np.std(adjusted) < 0.8 * np.std(raw)
    assert np.std(adjusted) == pytest.approx(np.mean(promised), rel=4 / np.sqrt(2 * runs))


def test_false_alarms_and_coverage_stay_as_promised() -> None:
    rng, runs = np.random.default_rng(4), 1_500
    alarms = covered = 0
    for _ in range(runs):
        pair, inputs, _ = arms(rng, (300, 40), 2, 0.5)
        result = known(cuped(pair, inputs))
        interval = estimate(result.control, result.treatment).interval
        covered += interval.lower <= 0.5 <= interval.upper
        pair, inputs, _ = arms(rng, (60, 60))
        result = known(cuped(pair, inputs))
        alarms += estimate(result.control, result.treatment).p_value < 0.05
    slack = 3 * monte_carlo_error(0.05, runs)
    assert alarms / runs <= 0.05 + slack
    assert covered / runs >= 0.95 - slack - 0.005


def test_useless_constant_and_repeated_covariates_do_no_harm() -> None:
    rng = np.random.default_rng(5)
    pair, inputs, _ = arms(rng, (500, 500))
    constant = per_unit(np.full(500, 3.0)), per_unit(np.full(500, 3.0))
    alone = known(cuped(pair, inputs))
    crowded = known(cuped(pair, [inputs[0], constant, inputs[0]]))
    assert crowded.variance_reduction == pytest.approx(alone.variance_reduction, abs=0.01)
    assert crowded.coefficients[1] == 0.0
    assert crowded.treatment.value == pytest.approx(alone.treatment.value, rel=1e-6)
    assert known(cuped(pair, [constant])).treatment.value == pair[1].value


def test_an_arm_without_variation_gets_that_of_what_is_taken_out() -> None:
    """No error in the control yet; but its value now moves with its covariate."""
    rng = np.random.default_rng(12)
    before = rng.normal(0, 1, 100), rng.normal(0, 1, 100)
    pair = per_unit(np.zeros(100)), per_unit(before[1] + rng.normal(0, 1, 100))
    result = known(cuped(pair, [(per_unit(before[0]), per_unit(before[1]))]))
    [theta] = result.coefficients
    expected = abs(theta) * before[0].std(ddof=1) / np.sqrt(100) * np.sqrt(99 / 98)
    assert result.control.below == result.control.above == pytest.approx(expected)


def test_a_covariate_of_vast_scale_is_as_good() -> None:
    pair, inputs, raw = arms(np.random.default_rng(6), (500, 500))
    vast = per_unit(1e12 * raw[0][0][0]), per_unit(1e12 * raw[1][0][0])
    one, other = known(cuped(pair, inputs)), known(cuped(pair, [vast]))
    assert other.variance_reduction == pytest.approx(one.variance_reduction, rel=1e-6)


def test_what_cannot_be_said() -> None:
    pair, inputs, _ = arms(np.random.default_rng(7), (4, 4))
    bare = bare_figure(1.0, 0.1, 0.1, 10)
    assert cuped((bare, bare), inputs) == NotEstimable(Cause.NEEDS_UNITS)
    assert cuped(pair, inputs * 3) == NotEstimable(Cause.TOO_FEW_UNITS)
    constant = per_unit(np.ones(4))
    assert cuped((constant, constant), inputs) == NotEstimable(Cause.ZERO_VARIANCE)
    with pytest.raises(ValueError, match="at least one"):
        cuped(pair, [])
    with pytest.raises(ValueError, match="own units"):
        cuped(pair, [(per_unit(np.arange(5.0)), inputs[0][1])])


def strata(rng: np.random.Generator, shares: tuple[float, float]) -> tuple[list[Pair], list[float]]:
    """Two strata of level 0 and 5; `shares` of each arm's 500 units are in the second."""
    pairs, sizes = [], []
    for level in (0, 1):
        numbers = [round(500 * (s if level else 1 - s)) for s in shares]
        values = [rng.normal(5 * level, 1, n) for n in numbers]
        pairs.append((per_unit(values[0]), per_unit(values[1])))
        sizes.append(float(sum(numbers)))
    return pairs, sizes


def test_strata_take_out_a_chance_difference_in_composition() -> None:
    pairs, sizes = strata(np.random.default_rng(8), (0.5, 0.6))
    result = estimate(*post_stratify(pairs, sizes))
    naive = 0.1 * 5
    assert abs(result.difference) < 4 * result.effect.standard_error < naive
    weights = [each / sum(sizes) for each in sizes]
    errors = [
        w * np.hypot(c.standard_error, t.standard_error)
        for w, (c, t) in zip(weights, pairs, strict=True)
    ]
    assert result.effect.standard_error == pytest.approx(np.hypot(*errors), rel=1e-9)


def test_one_stratum_is_no_stratification() -> None:
    rng = np.random.default_rng(9)
    pair = per_unit(rng.normal(0, 1, 50)), per_unit(rng.normal(0, 2, 30))
    result = estimate(*post_stratify([pair], [80.0]))
    alone = estimate(*pair)
    assert result.p_value == pytest.approx(alone.p_value, rel=1e-12)
    assert result.degrees == pytest.approx(alone.degrees, rel=1e-12)


def test_intervals_over_strata_cover() -> None:
    rng, runs = np.random.default_rng(10), 1_500
    covered = 0
    for _ in range(runs):
        pairs, sizes = strata(rng, (rng.binomial(500, 0.1) / 500, rng.binomial(500, 0.1) / 500))
        interval = estimate(*post_stratify(pairs, sizes)).interval
        covered += interval.lower <= 0 <= interval.upper
    assert stats.binom.cdf(covered, runs, 0.95) > 0.001


@pytest.mark.parametrize("sizes", [[1.0], [1.0, 0.0], []])
def test_sizes_that_do_not_fit_are_refused(sizes: list[float]) -> None:
    pairs, _ = strata(np.random.default_rng(11), (0.5, 0.5))
    with pytest.raises(ValueError, match="sizes"):
        post_stratify(pairs, sizes)
