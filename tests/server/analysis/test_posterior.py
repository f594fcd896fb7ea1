import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from tidegate_server.analysis.effects import Effect
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import NORMAL
from tidegate_server.analysis.posterior import NormalPrior, Posterior, posterior_of


def effect(value: float, error: float) -> Effect:
    return Effect(value, error, error, NORMAL)


def known(value: float, error: float, prior: NormalPrior | None = None) -> Posterior:
    result = posterior_of(effect(value, error), prior)
    assert isinstance(result, Posterior)
    return result


def test_the_flat_prior_leaves_the_estimate() -> None:
    result = known(0.3, 0.2)
    assert (result.mean, result.deviation) == (0.3, 0.2)
    assert result.chance_above() == pytest.approx(stats.norm.cdf(1.5), rel=1e-9)
    interval = result.interval()
    assert (interval.lower, interval.upper) == pytest.approx(stats.norm.interval(0.95, 0.3, 0.2))


def test_a_normal_prior_adds_its_precision() -> None:
    """Gelman et al. 2013, §2.5: prior N(1, 2²), an observation 3 of error 1."""
    result = known(3.0, 1.0, NormalPrior(1.0, 2.0))
    assert result.mean == pytest.approx((1 / 4 + 3) / (1 / 4 + 1), rel=1e-12)
    assert result.deviation == pytest.approx(1 / math.sqrt(1.25), rel=1e-12)


def test_a_prior_can_be_as_wide_or_as_narrow_as_one_likes() -> None:
    assert known(3.0, 1.0, NormalPrior(0.0, 1e12)).mean == pytest.approx(3.0)
    assert known(3.0, 1.0, NormalPrior(0.5, 1e-12)).mean == pytest.approx(0.5)


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_expected_loss_is_the_integral(*, higher_is_better: bool) -> None:
    result = known(0.3, 0.4)
    sign = 1 if higher_is_better else -1
    density = stats.norm(0.3, 0.4)
    loss, _ = integrate.quad(lambda x: max(-sign * x, 0) * density.pdf(x), -10, 10, points=[0])
    assert result.expected_loss(higher_is_better=higher_is_better) == pytest.approx(loss, rel=1e-6)
    assert result.chance_to_win(higher_is_better=higher_is_better) == pytest.approx(
        density.sf(0) if higher_is_better else density.cdf(0)
    )


def test_the_posterior_is_calibrated() -> None:
    """Over draws from the prior, the chance to win is how often the treatment wins."""
    rng = np.random.default_rng(1)
    true = rng.normal(0, 0.5, 40_000)
    seen = true + rng.normal(0, 0.3, true.size)
    chances = np.array(
        [known(each, 0.3, NormalPrior(0, 0.5)).chance_above() for each in seen[:8_000]]
    )
    likely = (chances > 0.7) & (chances < 0.8)
    share = (true[:8_000][likely] > 0).mean()
    assert share == pytest.approx(chances[likely].mean(), abs=4 * 0.43 / math.sqrt(likely.sum()))


@given(st.floats(-1e12, 1e12), st.floats(1e-12, 1e12))
def test_every_figure_is_finite(value: float, error: float) -> None:
    result = known(value, error)
    for side in (True, False):
        assert 0 <= result.chance_to_win(higher_is_better=side) <= 1
        assert 0 <= result.expected_loss(higher_is_better=side) < math.inf


def test_what_cannot_be_said() -> None:
    assert posterior_of(effect(1.0, 0.0)) == NotEstimable(Cause.ZERO_VARIANCE)
    with pytest.raises(ValueError, match="deviation"):
        posterior_of(effect(1.0, 1.0), NormalPrior(0.0, 0.0))
