"""Quantiles at every look: of clustered events in two arms, and of raw independent values."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.aggregates import OutcomeAggregate
from tidegate_server.analysis.confidence_sequence import AlwaysValid, Tuning, always_valid
from tidegate_server.analysis.effects import Interval
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.histogram import is_exact
from tidegate_server.analysis.mixture import concentration_for, log_mixture_ratio
from tidegate_server.analysis.phases import estimable_pair
from tidegate_server.analysis.quantiles import quantile_figure
from tidegate_server.analysis.spread import PhaseFigures


def compare_quantiles(
    control: tuple[OutcomeAggregate, float],
    treatment: tuple[OutcomeAggregate, float],
    share: float,
    tuning: Tuning,
) -> AlwaysValid | NotEstimable:
    """Compare the arms' quantiles at `share`, in (0, 1), at one of any number of looks.

    control, treatment: one phase's live aggregates, with the arm's units, >= 0. The clustered
    figures of `quantile_figure` (Deng, Knoblich, Lu 2018, arXiv:1803.06336, §4.2) are means of
    influences but for what vanishes with more data, and so fit `always_valid`, which says what is
    assumed. Several phases: make figures of each and ask `always_valid` itself.

    Not estimable also where the tail has too few events for a figure.
    """
    exact = all(is_exact(each.histogram, each.cells) for each, _ in (control, treatment))
    pair = estimable_pair(
        quantile_figure(control[0].histogram, share, exact=exact),
        quantile_figure(treatment[0].histogram, share, exact=exact),
    )
    if isinstance(pair, NotEstimable):
        return pair
    return always_valid([PhaseFigures(*pair, control[1], treatment[1])], tuning)


def quantile_interval(
    values: NDArray[np.float64], share: float, planned: float, alpha: float = 0.05
) -> Interval | NotEstimable:
    """Return where the quantile at `share`, in (0, 1), of independent values lies, at any look.

    values: shape (n,), finite, in any order, of one distribution. planned: values for which the
    interval is to be tightest, > 0. alpha: in (0, 1).
    The number of values at or below the quantile is binomial; the ranks that a beta mixture with
    its mean at `share` has not rejected bound it (Howard and Ramdas 2022, "Sequential estimation of
    quantiles", arXiv:1906.09712, Theorem 1(b)). No density, moments or asymptotics are needed, but
    values must be independent: of requests by users use `compare_quantiles`.

    Not estimable: too few values for an end on either side.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share: must be in (0, 1), not {share}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha: must be in (0, 1), not {alpha}")
    below, up_to = _ranks(values.size, share, planned, alpha)
    if below < 0 or up_to >= values.size:
        return NotEstimable(Cause.TOO_FEW_VALUES)
    ends = np.partition(values, (below, up_to))
    return Interval(float(ends[below]), float(ends[up_to]))


def quantile_difference(
    control: NDArray[np.float64],
    treatment: NDArray[np.float64],
    share: float,
    planned: float,
    alpha: float = 0.05,
) -> Interval | NotEstimable:
    """Return the treatment's quantile less the control's, for independent values, at any look.

    Arguments as in `quantile_interval`, which is asked for each arm at alpha / 2: both cover with
    chance 1 - alpha (Boole's inequality).
    """
    left = quantile_interval(control, share, planned, alpha / 2)
    right = quantile_interval(treatment, share, planned, alpha / 2)
    if isinstance(left, NotEstimable):
        return left.about("control")
    if isinstance(right, NotEstimable):
        return right.about("treatment")
    return Interval(right.lower - left.upper, right.upper - left.lower)


def _ranks(size: int, share: float, planned: float, alpha: float) -> tuple[int, int]:
    """Return the places, from 0, of the ends among the sorted values; outside where there is none.

    A number of values at or below the quantile is possible while its e-value is below 1 / alpha.
    """
    null = np.array([share, 1 - share])
    prior = concentration_for(planned, alpha) * null

    def possible(number: int) -> bool:
        counts = np.array([number, size - number], np.float64)
        return log_mixture_ratio(counts, prior, null) < -math.log(alpha)

    middle = min(max(round(share * size), 0), size)
    least = _edge(possible, middle, -1)
    most = _edge(possible, middle, size + 1)
    return least - 1, most


def _edge(possible: Callable[[int], bool], inside: int, outside: int) -> int:
    """Return the last possible number on the way from `inside`, which is, towards `outside`."""
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if possible(middle) else (inside, middle)
    return inside
