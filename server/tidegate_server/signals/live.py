"""What a server knows as a value: read at the moment in which somebody asks for metrics."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidegate.model import Revision
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.watchers import Watchers

MOST_REVISIONS = 5
"""Revisions that watchers are told apart by, the latest; the others are one series, `older`."""


class ServerState(Collector):
    """Watchers, and the configuration that this server has reached."""

    def __init__(self, feed: ConfigFeed, watchers: Watchers) -> None:
        self._feed = feed
        self._watchers = watchers

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called by a thread of its own."""
        snapshot, watching = self._feed.snapshot, Counter[Revision]()
        for (revision, _), count in self._watchers.counts().items():
            watching[revision] += count
        yield _gauge("tidegate_config_revision", "Revision that is served.", snapshot.revision)
        yield _gauge("tidegate_config_flags", "Flags that are served.", len(snapshot.flags))
        yield _gauge(
            "tidegate_store_connected",
            "Whether the store answered the last time that it was asked for changes: 1, or 0.",
            self._feed.connected,
        )
        yield _gauge(
            "tidegate_watchers_behind",
            "Watchers that were last sent an older revision than the one that is served.",
            sum(count for at, count in watching.items() if at < snapshot.revision),
        )
        yield _by_revision(watching.items())


def _by_revision(watching: Iterable[tuple[Revision, int]]) -> Metric:
    metric = GaugeMetricFamily(
        "tidegate_watchers",
        f"Watchers, by the revision that each was last sent: the latest {MOST_REVISIONS}, and "
        "`older`.",
        labels=["revision"],
    )
    rest = iter(watching)
    for revision, count in islice(rest, MOST_REVISIONS):
        metric.add_metric([str(revision)], count)
    metric.add_metric(["older"], sum(count for _, count in rest))
    return metric


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
