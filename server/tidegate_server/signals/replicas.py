"""What the leading controller tells of replicas, as it read them last.

Its registry has REPLICAS; `signals.controller.note_leadership` ends it.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidegate_server.domain.replicas.replica import Fleet, Policy, Replica, ReplicaState

MOST_FLAGS = 200
"""Flags whose replicas are exposed: the first by key."""

NONE = "none"
"""Stands for no variant: an empty label is none."""


class ReplicaStates(Collector):
    """How many replicas serve what, are being changed, and could not be."""

    def __init__(self) -> None:
        self.read: tuple[Fleet, Policy] | None = None  # replaced, never changed; None: not known

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called by a thread of its own."""
        if self.read is None:
            return
        fleet, policy = self.read
        flags = set(islice(sorted({each.flag for each in fleet.replicas.values()}), MOST_FLAGS))
        replicas = [each for each in fleet.replicas.values() if each.flag in flags]
        yield _counted(
            "tidegate_replicas",
            "Replicas by what they have loaded and how they are.",
            ("flag", "variant", "state"),
            ((each.flag, each.variant or NONE, _state(each, fleet, policy)) for each in replicas),
        )
        yield _counted(
            "tidegate_replica_orders",
            "Replicas that are being changed, by the variant that they shall serve.",
            ("flag", "variant", "step"),
            (
                (each.flag, each.order.variant, each.order.step.value)
                for each in replicas
                if each.order is not None
            ),
        )
        yield _counted(
            "tidegate_replica_failures",
            "Replicas that could not load a variant when they were last told to.",
            ("flag", "variant"),
            ((each.flag, failed.variant) for each in replicas for failed in each.failures),
        )


REPLICAS = ReplicaStates()


def note_replicas(fleet: Fleet, policy: Policy) -> None:
    """Note all replicas, as of now."""
    REPLICAS.read = fleet, policy


def _state(replica: Replica, fleet: Fleet, policy: Policy) -> str:
    if not policy.lives(replica, fleet.now):
        return "gone"
    out = replica.drained or replica.order is not None
    ready = replica.report.state is ReplicaState.READY
    return "drained" if ready and out else replica.report.state.value


def _counted(
    name: str, documentation: str, labels: tuple[str, ...], found: Iterator[tuple[str, ...]]
) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, number in sorted(Counter(found).items()):
        family.add_metric(values, number)
    return family
