"""The figures of each flag's current phase, as metrics: those that a report of that phase has.

They come from the live aggregates, by the same functions as reports, so they are equal. Reading
them takes time of this server and of the store: they are kept for a while, and only the flags that
changed last have theirs exposed.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from time import monotonic

import structlog
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidegate.model import PPM, Flag
from tidegate_server.analysis.estimable import NotEstimable
from tidegate_server.errors import StoreUnavailable
from tidegate_server.ports import AggregateStore
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.reports import OutcomeSummary, VariantReport, variant_report

log = structlog.get_logger(__name__)

MOST_OUTCOMES = 20
"""Outcomes that a variant's figures are exposed of: first those of the flag's metrics."""

KEPT_SECONDS = 5.0
"""Who asks again within that time is given the same figures."""

WAIT_SECONDS = 4.0
"""How long a scrape waits for figures; then it goes without."""

ERROR = "error"
"""The outcome whose mean is the error rate."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Flags, each with its variants in the current phase. left_out: how many flags are not here."""

    flags: Sequence[tuple[Flag, Sequence[VariantReport]]]
    left_out: int


class FlagFigures(Collector):
    """Reads the figures of at most `most_flags` (>= 0) flags; belongs to the running loop.

    clock: monotonic, in seconds.
    """

    def __init__(
        self,
        feed: ConfigFeed,
        aggregates: AggregateStore,
        most_flags: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._feed = feed
        self._aggregates = aggregates
        self._most_flags = most_flags
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._kept: tuple[float, Figures] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called by a thread of its own, never by the loop's."""
        reading: Future[Figures] = asyncio.run_coroutine_threadsafe(self.read(), self._loop)
        try:
            figures = reading.result(WAIT_SECONDS)
        except (StoreUnavailable, TimeoutError, CancelledError) as error:
            reading.cancel()
            log.warning("figures_left_out", cause=str(error) or type(error).__name__)
            return
        yield from samples(figures)

    async def read(self) -> Figures:
        """Return the figures, at most KEPT_SECONDS old.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        async with self._lock:
            if self._kept is None or self._clock() - self._kept[0] > KEPT_SECONDS:
                began = self._clock()
                self._kept = began, await self._read()
            return self._kept[1]

    async def _read(self) -> Figures:
        flags = sorted(self._feed.snapshot.flags.values(), key=lambda flag: -flag.revision)
        return Figures(
            [(flag, await self._read_flag(flag)) for flag in flags[: self._most_flags]],
            left_out=max(0, len(flags) - self._most_flags),
        )

    async def _read_flag(self, flag: Flag) -> Sequence[VariantReport]:
        arms = await self._aggregates.read(flag.key, first_phase=flag.phase)
        return [variant_report(flag, each.key, arms, flag.phase) for each in flag.variants]


def samples(figures: Figures) -> Iterator[Metric]:
    """Yield figures as metrics."""
    left_out = GaugeMetricFamily(
        "tidegate_flags_left_out",
        "Flags whose figures are not exposed: see TIDEGATE_METRICS_FLAGS.",
        value=figures.left_out,
    )
    phase = GaugeMetricFamily(
        "tidegate_flag_phase", "The phase that a flag's figures are of.", labels=["flag"]
    )
    for flag, _ in figures.flags:
        phase.add_metric([flag.key], flag.phase)
    variants = _Variants()
    for flag, reports in figures.flags:
        for report in reports:
            variants.add(flag, report)
    yield from (left_out, phase, *variants.metrics)


class _Variants:
    """The metrics of variants, filled one by one."""

    def __init__(self) -> None:
        self._share = _family("variant_share_ratio", "A variant's share of the split.")
        self._units = _family("variant_units", "Units seen under a variant, estimated.")
        self._exposures = _family("variant_exposures", "Exposures of a variant.")
        self._dropped = _family("variant_dropped_events", "Events of a variant that were lost.")
        self._outside = _family(
            "variant_outside_split_events",
            "Events of units that something other than the split gave the variant.",
        )
        self._errors = _family("variant_error_ratio", "The mean of the outcome `error`.")
        self._events = _family("outcome_events", "Events of an outcome.", "outcome")
        self._mean = _family("outcome_mean", "Mean of an outcome, per event.", "outcome")
        self._p50 = _family("outcome_p50", "Median of an outcome.", "outcome")
        self._p95 = _family("outcome_p95", "95th percentile of an outcome.", "outcome")
        self._p99 = _family("outcome_p99", "99th percentile of an outcome.", "outcome")

    @property
    def metrics(self) -> Sequence[Metric]:
        return (
            self._share,
            self._units,
            self._exposures,
            self._dropped,
            self._outside,
            self._errors,
            self._events,
            self._mean,
            self._p50,
            self._p95,
            self._p99,
        )

    def add(self, flag: Flag, report: VariantReport) -> None:
        labels = [flag.key, report.variant]
        self._share.add_metric(labels, report.share_ppm / PPM)
        if not isinstance(report.units, NotEstimable):
            self._units.add_metric(labels, report.units)
        self._exposures.add_metric(labels, report.exposures)
        self._dropped.add_metric(labels, report.dropped_events)
        self._outside.add_metric(labels, report.outside_split_events)
        for each in report.outcomes:
            if each.outcome == ERROR:
                self._errors.add_metric(labels, each.mean)
        for each in _first_outcomes(flag, report):
            self._add_outcome([*labels, each.outcome], each)

    def _add_outcome(self, labels: list[str], outcome: OutcomeSummary) -> None:
        self._events.add_metric(labels, outcome.count)
        self._mean.add_metric(labels, outcome.mean)
        self._p50.add_metric(labels, outcome.p50)
        self._p95.add_metric(labels, outcome.p95)
        self._p99.add_metric(labels, outcome.p99)


def _first_outcomes(flag: Flag, report: VariantReport) -> Sequence[OutcomeSummary]:
    declared = {metric.outcome for metric in flag.metrics}
    ordered = sorted(report.outcomes, key=lambda each: each.outcome not in declared)
    return ordered[:MOST_OUTCOMES]


def _family(name: str, documentation: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        f"tidegate_{name}",
        f"{documentation} In the flag's current phase.",
        labels=["flag", "variant", *more],
    )
