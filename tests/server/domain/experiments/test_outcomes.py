import numpy as np
import pytest

from tests.server.analysis.simulation import Floats
from tidegate_server.domain.experiments.outcomes import Assumed, Outcome, Rate, Recorded, recorded
from tidegate_server.domain.metrics import QUANTILES, Statistic

LATENCIES = np.random.default_rng(5).gamma(2.0, 100.0, 200_000)


def figures(samples: Floats, statistic: Statistic) -> Floats:
    """Return the figure of each row."""
    if statistic is Statistic.MEAN:
        return np.asarray(samples.mean(axis=1))
    return np.quantile(samples, QUANTILES[statistic], axis=1)


@pytest.mark.parametrize("statistic", Statistic)
@pytest.mark.parametrize(
    "outcome", [Assumed(200.0, 100.0 * 2**0.5), recorded(LATENCIES)], ids=["assumed", "recorded"]
)
def test_figures_of_many_requests_spread_as_the_moments_say(
    outcome: Outcome, statistic: Statistic
) -> None:
    requests, rng = 4_000, np.random.default_rng(6)
    samples = rng.gamma(2.0, 100.0, (1_000, requests))
    found, moments = figures(samples, statistic), outcome.moments(statistic)
    assert moments.mean == pytest.approx(found.mean(), rel=0.01)
    assert moments.deviation / requests**0.5 == pytest.approx(found.std(), rel=0.1)


def test_the_skewness_of_a_mean_is_that_of_the_requests() -> None:
    assert Assumed(200.0, 100.0 * 2**0.5).moments(Statistic.MEAN).skewness == pytest.approx(2**0.5)
    assert recorded(LATENCIES).moments(Statistic.MEAN).skewness == pytest.approx(2**0.5, rel=0.05)
    assert Rate(0.01).moments(Statistic.MEAN).skewness == pytest.approx(9.849, rel=1e-3)


def test_an_effect_changes_every_figure_by_the_same_part() -> None:
    for outcome in (Assumed(3.9, 1.2), recorded(LATENCIES)):
        for statistic in Statistic:
            before, after = outcome.moments(statistic), outcome.changed(0.1).moments(statistic)
            assert after.mean == pytest.approx(1.1 * before.mean)
            assert after.deviation == pytest.approx(1.1 * before.deviation)
            assert after.skewness == pytest.approx(before.skewness)
    assert Rate(0.02).changed(0.5) == Rate(0.03)


def test_recorded_zeros_and_ones_are_a_rate() -> None:
    assert recorded(np.array([0.0, 1.0, 0.0, 0.0])) == Rate(0.25)
    assert isinstance(recorded(np.array([0.0, 1.0, 0.5])), Recorded)


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"above 0 and below 1, not 1\.2"):
        Rate(0.4).changed(2.0)
    with pytest.raises(ValueError, match="a rate has no p99"):
        Rate(0.4).moments(Statistic.P99)
    with pytest.raises(ValueError, match="deviation must be above 0"):
        Assumed(1.0, 0.0)
    with pytest.raises(ValueError, match="must differ"):
        recorded(np.array([2.0, 2.0]))
    with pytest.raises(ValueError, match="too few different values around the p99"):
        recorded(np.array([1.0] + [2.0] * 999)).moments(Statistic.P99)
