"""Series: how a flag's outcomes and exposures went over time, and how their values lie.

Events outside the split are left out, as they are from every figure of a report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from tidegate.model import Flag, FlagKey, VariantKey
from tidegate_server.analysis.aggregates import OutcomeAggregate
from tidegate_server.analysis.histogram import bin_edges, bins, is_exact, quantiles
from tidegate_server.analysis.merge import merge_outcomes
from tidegate_server.analysis.timeline import Timeline, timeline
from tidegate_server.analysis.windows import Resolution, Windows, merge_windows
from tidegate_server.domain.checks import unknown
from tidegate_server.domain.events import Arm
from tidegate_server.errors import InvalidField
from tidegate_server.ports import AggregateStore

DEFAULT_WINDOWS = 360
MOST_WINDOWS = 11_000
"""Enough for all minutes that are kept."""

SHARES = (0.5, 0.95, 0.99)
PERCENTILES = tuple(percent / 100 for percent in range(1, 100))


@dataclass(frozen=True, slots=True)
class OutcomeSeries:
    """One outcome under one variant over time; an empty outcome means exposures.

    timeline: its quantiles are those of SHARES.
    """

    variant: VariantKey
    outcome: str
    timeline: Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """The values of one outcome under one variant.

    Arrays of shape (bins,), rising: lower, upper: the ends, equal where all values are known to be
    that. count: values, > 0. percentiles: the 1st to the 99th.
    """

    variant: VariantKey
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    count: NDArray[np.int64]
    percentiles: tuple[float, ...]


class SeriesReader:
    """Reads series and distributions from windows and aggregates."""

    def __init__(self, aggregates: AggregateStore) -> None:
        self._aggregates = aggregates

    async def series(
        self, flag: FlagKey, resolution: Resolution, start: datetime | None, end: datetime
    ) -> Sequence[OutcomeSeries]:
        """Return what happened in the windows that begin in [start, end), over all phases.

        start: None: DEFAULT_WINDOWS before the end.

        Raises:
            InvalidField: there is no window, or there are too many.
            StoreUnavailable: the windows can't be read.
        """
        end_ms = _ms(end)
        start_ms = end_ms - DEFAULT_WINDOWS * resolution.length_ms if start is None else _ms(start)
        _check_range(start_ms, end_ms, resolution)
        arms = await self._aggregates.read_windows(flag, resolution, start_ms, end_ms)
        return [
            OutcomeSeries(variant, outcome, timeline(windows, outcome, SHARES))
            for variant, windows in _by_variant(arms).items()
            for outcome in windows.outcomes
        ]

    async def distributions(
        self, flag: Flag, outcome: str, phase: int = 0
    ) -> Sequence[Distribution]:
        """Return how the outcome's values lie under each variant that has any.

        phase: only this one; 0: all together.

        Raises:
            InvalidField: there is no such outcome in that phase.
            StoreUnavailable: the aggregates can't be read.
        """
        arms = await self._aggregates.read(flag.key)
        chosen = {
            arm: data
            for arm, data in arms.items()
            if not arm.outside_split and phase in (0, arm.phase)
        }
        known = sorted({name for data in chosen.values() for name in data.outcomes})
        if outcome not in known:
            raise InvalidField("outcome", unknown(outcome, known))
        found: dict[VariantKey, list[OutcomeAggregate]] = {v.key: [] for v in flag.variants}
        for arm, data in chosen.items():
            if outcome in data.outcomes:
                found.setdefault(arm.variant, []).append(data.outcomes[outcome])
        return [
            _distribution(variant, reduce(merge_outcomes, parts))
            for variant, parts in found.items()
            if parts
        ]


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1_000)


def _check_range(start_ms: int, end_ms: int, resolution: Resolution) -> None:
    if start_ms < 0 or start_ms >= end_ms:
        raise InvalidField("start_time", "it must be after 1970 and before end_time")
    windows = (end_ms - start_ms) // resolution.length_ms
    if windows > MOST_WINDOWS:
        length = timedelta(milliseconds=MOST_WINDOWS * resolution.length_ms)
        raise InvalidField(
            "start_time",
            f"there are {windows:,} windows of {resolution} until end_time: give at most "
            f"{length.total_seconds() / 3600:,.0f} h, or a coarser resolution",
        )


def _by_variant(arms: Mapping[Arm, Windows]) -> dict[VariantKey, Windows]:
    """Return each variant's windows, of all phases, without those outside the split."""
    parts: dict[VariantKey, list[Windows]] = {}
    for arm, windows in arms.items():
        if not arm.outside_split:
            parts.setdefault(arm.variant, []).append(windows)
    return {variant: merge_windows(parts[variant]) for variant in sorted(parts)}


def _distribution(variant: VariantKey, outcome: OutcomeAggregate) -> Distribution:
    histogram = outcome.histogram
    pooled = histogram.counts.sum(axis=0)
    index, count = bins(histogram)[pooled > 0], pooled[pooled > 0]
    near, far = bin_edges(index)
    if is_exact(histogram, outcome.cells):
        far = near
    return Distribution(
        variant,
        np.minimum(near, far),
        np.maximum(near, far),
        count,
        quantiles(histogram, outcome.cells, PERCENTILES),
    )
