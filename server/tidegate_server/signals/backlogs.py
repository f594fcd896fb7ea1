"""What waits in the shards that a worker serves, as metrics."""

from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidegate_server.domain.events import Shard
from tidegate_server.ports import Backlog


class Backlogs(Collector):
    """The backlog of each shard that a worker serves, as it was last read."""

    def __init__(self) -> None:
        self.by_shard: Mapping[Shard, Backlog] = {}  # replaced, never changed

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called by a thread of its own."""
        lag = GaugeMetricFamily(
            "tidegate_fold_lag_seconds",
            "Age of the oldest batch of a shard that is not folded.",
            labels=["shard"],
        )
        batches = GaugeMetricFamily(
            "tidegate_backlog_batches",
            "Batches that a shard holds, because not all of its readers are done with them.",
            labels=["shard"],
        )
        ahead = GaugeMetricFamily(
            "tidegate_backlog_bytes",
            "Bytes that a reader of a shard has before it; the reader `fold` is the workers.",
            labels=["shard", "reader"],
        )
        for shard, backlog in self.by_shard.items():
            lag.add_metric([str(shard)], backlog.age_seconds)
            batches.add_metric([str(shard)], backlog.entries)
            for reader, size in backlog.bytes_ahead.items():
                ahead.add_metric([str(shard), reader], size)
        yield from (lag, batches, ahead)
