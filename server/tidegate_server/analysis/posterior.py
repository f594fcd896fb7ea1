"""The Bayesian reading of an effect, to be shown beside the test and not instead of it.

It answers "how likely is the treatment better, and what do I risk by choosing it?". Looked at
again and again, with a rule to stop on it, it raises false alarms like any fixed-horizon figure.
"""

import math
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

from tidegate_server.analysis.effects import Effect, Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable


@dataclass(frozen=True, slots=True)
class NormalPrior:
    """What is believed of the effect beforehand, on the effect's scale. deviation: > 0, finite."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of the effect afterwards: normal with this mean and deviation > 0."""

    mean: float
    deviation: float

    def chance_above(self, value: float = 0.0) -> float:
        """Return the chance that the effect exceeds `value`, in [0, 1]."""
        return float(ndtr((self.mean - value) / self.deviation))

    def chance_to_win(self, *, higher_is_better: bool) -> float:
        """Return the chance that the treatment is better, in [0, 1]."""
        above = self.chance_above()
        return above if higher_is_better else 1 - above

    def expected_loss(self, *, higher_is_better: bool) -> float:
        """Return what choosing the treatment loses on average where it is worse, >= 0.

        On the effect's scale; with δ the gain, E[max(-δ, 0)] = σ φ(μ/σ) - μ Φ(-μ/σ) (Stucchio
        2015, "Bayesian A/B testing at VWO"; the normal loss integral of Raiffa and Schlaifer 1961).
        """
        gain = self.mean if higher_is_better else -self.mean
        standardised = gain / self.deviation
        density = math.exp(-min(standardised * standardised / 2, 745.0)) / math.sqrt(2 * math.pi)
        return max(self.deviation * density - gain * float(ndtr(-standardised)), 0.0)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the central credible interval; confidence in (0, 1)."""
        reach = float(ndtri((1 + confidence) / 2)) * self.deviation
        return Interval(self.mean - reach, self.mean + reach)


def posterior_of(effect: Effect, prior: NormalPrior | None = None) -> Posterior | NotEstimable:
    """Return the posterior of an effect; without a prior, the flat one.

    The likelihood is taken for normal with the effect's standard error. Precisions add, and the
    mean is weighted by them (Gelman et al. 2013, "Bayesian Data Analysis", §2.5).

    Raises:
        ValueError: the prior's deviation is not a number > 0.
    """
    error = effect.standard_error
    if error == 0.0:
        return NotEstimable(Cause.ZERO_VARIANCE)
    if prior is None:
        return Posterior(effect.value, error)
    if not 0 < prior.deviation < math.inf:
        raise ValueError(f"deviation: must be a number > 0, not {prior.deviation}")
    root = prior.deviation / math.hypot(error, prior.deviation)
    mean = root**2 * effect.value + (1 - root**2) * prior.mean
    return Posterior(mean, root * error)
