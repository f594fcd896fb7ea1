"""The effect by day since a unit's first exposure: novelty that wears off, or habits that form."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tidegate_server.analysis.comparison import Estimate, compare
from tidegate_server.analysis.estimable import Cause, NotEstimable
from tidegate_server.analysis.figures import Figure, combine
from tidegate_server.analysis.metrics import Statistic, figure_of
from tidegate_server.analysis.phases import Pair, estimable_pair
from tidegate_server.analysis.samples import Sample


@dataclass(frozen=True, slots=True, eq=False)
class DatedSample:
    """Raw events with their age.

    day: shape (events,), int64, >= 0: whole days since the unit's first exposure.
    """

    events: Sample
    day: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Novelty:
    """The effect in the course of time.

    days: rising. by_day: the comparison on each. trend: the change of the difference per day; its
    p-value says whether the effect moves. Its `control` and `treatment` are the arms' own trends.
    """

    days: tuple[int, ...]
    by_day: tuple[Estimate | NotEstimable, ...]
    trend: Estimate | NotEstimable


def effect_by_day(
    control: DatedSample,
    treatment: DatedSample,
    days: Sequence[int],
    statistic: Statistic = Statistic.MEAN,
) -> Novelty:
    """Return the effect on each of `days` since first exposure, and its trend.

    days: rising, each >= 0. Only units exposed early enough can reach the later days: give days
    that all units could reach, or the trend mixes time with who came when. The trend is the least
    squares slope over the days; a unit's days are added within the unit before they are squared
    (`combine`), so its own ups and downs are not taken for independent (but for COUNT, where the
    interval errs on the wide side).

    Raises:
        ValueError: the days do not rise, or begin before 0.
    """
    if any(before >= after for before, after in pairwise((-1, *days))):
        raise ValueError(f"days: must be whole numbers >= 0 that rise, not {list(days)}")
    pairs = [
        estimable_pair(_on(control, day, statistic), _on(treatment, day, statistic)) for day in days
    ]
    by_day = [pair if isinstance(pair, NotEstimable) else compare(*pair) for pair in pairs]
    known = [(day, pair) for day, pair in zip(days, pairs, strict=True) if isinstance(pair, tuple)]
    return Novelty(tuple(days), tuple(by_day), _trend(known))


def _on(dated: DatedSample, day: int, statistic: Statistic) -> Figure | NotEstimable:
    chosen = dated.day == day
    events = dated.events
    return figure_of(Sample(events.unit[chosen], events.values[chosen], events.units), statistic)


def _trend(known: Sequence[tuple[int, Pair]]) -> Estimate | NotEstimable:
    if len(known) < 2:
        return NotEstimable(Cause.TOO_FEW_DAYS)
    centred = np.array([day for day, _ in known], np.float64)
    centred -= centred.mean()
    weights = (centred / float(centred @ centred)).tolist()
    left, right = (combine([pair[arm] for _, pair in known], weights) for arm in (0, 1))
    return compare(left, right)
