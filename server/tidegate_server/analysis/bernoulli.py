"""Rates of independent trials, at every look, without asymptotics: valid from the first trial.

Everything here assumes that trials are independent of each other: one per unit, or requests of
which no user makes several. Requests of users with habits are not: for those `mean_figure` and
`confidence_sequence`, which respect clusters.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincc, expit

from tidegate_server.analysis.effects import Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.mixture import (
    always_valid_p_value,
    concentration_for,
    log_mixture_ratio,
)

PRIOR = (0.5, 0.5)
"""Jeffreys' prior: an interval that is good at rates near 0 as well as in the middle."""

_FAR = 690.0
"""Logit of the rates, 1e-300 and the same below 1, between which limits are sought."""


@dataclass(frozen=True, slots=True)
class Trials:
    """Successes among independent trials: 0 <= successes <= trials <= 1e15.

    Raises:
        ValueError: the numbers are out of range.
    """

    successes: int
    trials: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.trials <= 10**15:
            raise ValueError(
                f"successes, trials: must be 0 <= successes <= trials <= 1e15, not "
                f"{self.successes} of {self.trials}"
            )


@dataclass(frozen=True, slots=True)
class RatioReading:
    """The treatment's rate divided by the control's, less 1, at one of any number of looks.

    interval: two-sided. p_value: always valid, against equal rates, in (0, 1].
    """

    interval: Interval | NotEstimable
    p_value: float


def rate_interval(
    seen: Trials, alpha: float = 0.05, prior: tuple[float, float] = PRIOR
) -> Interval | NotEstimable:
    """Return the rates, in [0, 1], that no look so far has had reason to reject at `alpha`.

    Those against which the beta mixture's e-value is below 1 / alpha: all looks' intervals cover
    with chance 1 - alpha. prior: the mixture's parameters, > 0, chosen before the data are seen.
    Source: Robbins 1970, "Statistical methods related to the law of the iterated logarithm", ex. 2;
    Lindon and Malek 2022 (arXiv:2011.03567), §3. Not estimable: no trials.

    Raises:
        ValueError: alpha is not in (0, 1).
    """
    _check_alpha(alpha)
    return _rates(seen, alpha, prior) if seen.trials else NotEstimable(Cause.NO_TRIALS)


def ceiling_p_value(
    seen: Trials, ceiling: float, prior: tuple[float, float] = PRIOR
) -> float | NotEstimable:
    """Return the always-valid p-value, in (0, 1], against "the rate is at most `ceiling`".

    ceiling: in (0, 1). The mixture is the beta prior cut off below the ceiling, so every likelihood
    ratio in it is a supermartingale under every rate up to the ceiling. Source: the one-sided
    beta-binomial mixture of Howard, Ramdas, McAuliffe, Sekhon 2021, "Time-uniform, nonparametric,
    nonasymptotic confidence sequences" (arXiv:1810.08240), Proposition 7. Not estimable: no trials.

    Raises:
        ValueError: the ceiling is not in (0, 1).
    """
    if not 0.0 < ceiling < 1.0:
        raise ValueError(f"ceiling: must be in (0, 1), not {ceiling}")
    if seen.trials == 0:
        return NotEstimable(Cause.NO_TRIALS)
    counts = np.array([seen.successes, seen.trials - seen.successes], np.float64)
    whole = log_mixture_ratio(counts, np.array(prior), np.array([ceiling, 1 - ceiling]))
    after = float(betaincc(prior[0] + counts[0], prior[1] + counts[1], ceiling))
    if after == 0.0:
        return 1.0
    return always_valid_p_value(
        whole + math.log(after) - math.log(float(betaincc(*prior, ceiling)))
    )


def rate_difference(
    control: Trials, treatment: Trials, alpha: float = 0.05
) -> Interval | NotEstimable:
    """Return the treatment's rate less the control's, in [-1, 1], at any look.

    The intervals of both rates at alpha / 2 each, which both cover with chance 1 - alpha (Boole's
    inequality): wider than need be, but valid without any assumption on how arms take turns.
    """
    left, right = rate_interval(control, alpha / 2), rate_interval(treatment, alpha / 2)
    if isinstance(left, NotEstimable):
        return left.about("control")
    if isinstance(right, NotEstimable):
        return right.about("treatment")
    return Interval(right.lower - left.upper, right.upper - left.lower)


def rate_ratio(
    control_successes: int,
    treatment_successes: int,
    treatment_share: float,
    planned: float,
    alpha: float = 0.05,
) -> RatioReading | NotEstimable:
    """Compare two rates by the arm from which each success comes, at any look.

    treatment_share: the chance, in (0, 1), that a trial is the treatment's. planned: successes for
    which the interval is to be tightest, > 0. If the treatment's rate is r times the control's, the
    next success is the treatment's with chance share · r / (share · r + 1 - share): a multinomial
    test of the successes alone, and valid while rates rise and fall in time, if r stays. For rare
    events next to nothing is lost; of frequent ones count the failures.

    Assumes that arms are drawn by chance with this share: check `sample_ratio` first.
    Source: Lindon and Malek 2022 (arXiv:2011.03567), §3 (inhomogeneous Bernoulli processes).
    Not estimable: no successes; the interval: none in the control.

    Raises:
        ValueError: an argument is out of range.
    """
    _check_alpha(alpha)
    if not 0.0 < treatment_share < 1.0:
        raise ValueError(f"treatment_share: must be in (0, 1), not {treatment_share}")
    if min(control_successes, treatment_successes) < 0:
        raise ValueError("control_successes, treatment_successes: must be >= 0")
    total = control_successes + treatment_successes
    if total == 0:
        return NotEstimable(Cause.NO_TRIALS)
    shares = np.array([treatment_share, 1 - treatment_share])
    counts = np.array([treatment_successes, control_successes], np.float64)
    prior = concentration_for(planned, alpha) * shares
    evidence = log_mixture_ratio(counts, prior, shares)
    found = _rates(Trials(treatment_successes, total), alpha, (float(prior[0]), float(prior[1])))
    return RatioReading(_as_ratio(found, treatment_share), always_valid_p_value(evidence))


def _rates(seen: Trials, alpha: float, prior: tuple[float, float]) -> Interval:
    """Return the interval of `rate_interval`. The e-value is convex in the rate on each side."""
    counts = np.array([seen.successes, seen.trials - seen.successes], np.float64)
    parameters = np.array(prior)

    def excess(logit: float) -> float:
        null = np.array([float(expit(logit)), float(expit(-logit))])
        return log_mixture_ratio(counts, parameters, null) + math.log(alpha)

    found, missed = counts
    middle = math.log(max(found, 0.5) / max(missed, 0.5))
    lower = float(expit(brentq(excess, -_FAR, middle))) if found else 0.0
    upper = float(expit(brentq(excess, middle, _FAR))) if missed else 1.0
    rate = seen.successes / seen.trials
    return Interval(min(lower, rate), max(upper, rate))


def _as_ratio(shares: Interval, treatment_share: float) -> Interval | NotEstimable:
    """Return r - 1 for the shares of successes that are the treatment's."""
    if shares.upper == 1.0:
        return NotEstimable(Cause.NO_SUCCESSES)
    odds = (1 - treatment_share) / treatment_share
    lower, upper = (odds * end / (1 - end) - 1 for end in (shares.lower, shares.upper))
    return Interval(lower, upper)


def _check_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha: must be in (0, 1), not {alpha}")
