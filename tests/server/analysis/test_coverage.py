"""False alarms and coverage on skewed requests, correlated within users: 20 a user, ICC 0.3.

Bounds are the nominal rate and three Monte Carlo errors of the number of runs. Each run has a
control and a treatment without a difference; multiplying the treatment by 1.1 then gives a known
difference from the same data.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import ndtr

from tests.server.analysis.simulation import (
    Floats,
    monte_carlo_error,
    outcome,
    requests,
    users,
)
from tidegate_server.analysis.aggregates import OutcomeAggregate
from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.effects import Interval
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.analysis.figures import Figure
from tidegate_server.analysis.means import mean_figure
from tidegate_server.analysis.quantiles import quantile_figure

ALPHA = 0.05
EFFECT = 1.1
TRUE_MEAN = float(np.exp(0.5))
TRUE_P95 = float(np.exp(1.6448536269514722))

FigureOf = Callable[[OutcomeAggregate], Figure | NotEstimable]


def mean(of: OutcomeAggregate) -> Figure | NotEstimable:
    return mean_figure(of.cells)


def p95(of: OutcomeAggregate) -> Figure | NotEstimable:
    return quantile_figure(of.histogram, 0.95, exact=False)


@dataclass(slots=True)
class Tally:
    """How often each thing was seen; `share` of `runs`."""

    runs: int
    alarms: int = 0
    covered: int = 0
    covered_relative: int = 0

    def add(self, without: Estimate, with_effect: Estimate, true_difference: float) -> None:
        self.alarms += without.p_value < ALPHA
        self.covered += within(true_difference, with_effect.interval)
        assert isinstance(with_effect.relative_interval, Interval)
        self.covered_relative += within(EFFECT - 1, with_effect.relative_interval)


def within(value: float, interval: Interval) -> bool:
    return interval.lower <= value <= interval.upper


def estimate(figure_of: FigureOf, control: OutcomeAggregate, treated: OutcomeAggregate) -> Estimate:
    left, right = figure_of(control), figure_of(treated)
    assert isinstance(left, Figure)
    assert isinstance(right, Figure)
    result = compare(left, right)
    assert isinstance(result, Estimate)
    return result


def request_level_p_value(control: Floats, treated: Floats) -> float:
    """The customary test, which takes requests for independent."""
    error = np.hypot(*(each.std(ddof=1) / np.sqrt(each.size) for each in (control, treated)))
    return 2 * float(ndtr(-abs(treated.mean() - control.mean()) / error))


@pytest.mark.parametrize(
    ("control_users", "treatment_users", "runs"), [(600, 600, 1_000), (5_700, 300, 600)]
)
def test_means_and_tails_keep_their_promises(
    control_users: int, treatment_users: int, runs: int
) -> None:
    rng = np.random.default_rng(control_users)
    means, tails, customary_alarms = Tally(runs), Tally(runs), 0
    for _ in range(runs):
        hashes, values = requests(rng, users(rng, control_users))
        treated_hashes, treated = requests(rng, users(rng, treatment_users))
        control, same = outcome(hashes, values), outcome(treated_hashes, treated)
        better = outcome(treated_hashes, treated * EFFECT)
        for tally, figure_of, true in ((means, mean, TRUE_MEAN), (tails, p95, TRUE_P95)):
            tally.add(
                estimate(figure_of, control, same),
                estimate(figure_of, control, better),
                (EFFECT - 1) * true,
            )
        customary_alarms += request_level_p_value(values, treated) < ALPHA
    slack = 3 * monte_carlo_error(ALPHA, runs)
    for tally in (means, tails):
        assert tally.alarms / runs <= ALPHA + slack
        assert tally.covered / runs >= 1 - ALPHA - slack
        assert tally.covered_relative / runs >= 1 - ALPHA - slack
    assert customary_alarms / runs > 5 * ALPHA
