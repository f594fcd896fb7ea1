"""How outcomes become figures, and which way they are better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from tidegate.model import Direction, Metric

if TYPE_CHECKING:  # which would load scipy, where only names are wanted
    from tidegate_server.analysis.effects import Interval

KNOWN: Mapping[str, Direction] = MappingProxyType(
    {
        "latency_ms": Direction.LOWER,
        "error": Direction.LOWER,
        "cost_usd": Direction.LOWER,
        "rating": Direction.HIGHER,
    }
)
"""Outcomes whose direction need not be declared."""


class Statistic(StrEnum):
    """What of an outcome is compared; see `Statistic` in report_service.proto."""

    MEAN = "mean"
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"


QUANTILES: Mapping[Statistic, float] = MappingProxyType(
    {Statistic.P50: 0.5, Statistic.P90: 0.9, Statistic.P95: 0.95, Statistic.P99: 0.99}
)
"""The share of events at or below each quantile, rising."""


class Better(StrEnum):
    """Which side of a comparison is better; see `Better` in report_service.proto."""

    UNKNOWN = "unknown"
    TREATMENT = "treatment"
    CONTROL = "control"
    NEITHER = "neither"


def direction_of(outcome: str, metrics: Iterable[Metric]) -> Direction:
    """Return which way `outcome` is better: as the flag's metrics declare, else as is known."""
    declared = {metric.outcome: metric.direction for metric in metrics}
    return declared.get(outcome, KNOWN.get(outcome, Direction.UNKNOWN))


def better_side(difference: Interval, direction: Direction) -> Better:
    """Return the side that is better, given the interval of treatment less control."""
    if direction is Direction.UNKNOWN:
        return Better.UNKNOWN
    if difference.lower <= 0.0 <= difference.upper:
        return Better.NEITHER
    higher_is_better = direction is Direction.HIGHER
    return Better.TREATMENT if (difference.lower > 0.0) == higher_is_better else Better.CONTROL
