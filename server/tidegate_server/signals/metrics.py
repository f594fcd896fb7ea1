"""All metrics that are counted where things happen, and which role has which.

They are the process's: a role adds to those that are its own, and `registry_of` gives what it
exposes. What is known as a value is not counted here, but read when somebody asks: see
`signals.live`, `signals.figures`, `signals.backlogs`, `signals.controller` and `signals.replicas`.
The number of values that a label has is bounded. docs/observability.md tells of each metric.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.records import Action

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of all durations."""


def _counter(name: str, documentation: str, label: str, *values: str) -> Counter:
    """Return a counter with a label whose values are known: all begin at 0."""
    counter = Counter(name, documentation, [label], registry=None)
    for value in values:
        counter.labels(value)
    return counter


STORE_ERRORS = _counter(
    "tidegate_store_errors_total",
    "Commands that the store did not carry out, by kind.",
    "kind",
    "full",
    "refused",
    "unreachable",
)

# Server.

REQUESTS = Counter(
    "tidegate_requests_total",
    "Calls that ended, by method and gRPC status.",
    ["method", "code"],
    registry=None,
)
REQUEST_SECONDS = Histogram(
    "tidegate_request_duration_seconds",
    "Time from a call's request to its answer; streams are left out.",
    ["method"],
    registry=None,
    buckets=_SECONDS,
)
BATCHES = _counter(
    "tidegate_batches_total",
    "Batches of events, by result: refused for good, deferred to come again.",
    "result",
    "stored",
    "duplicate",
    "refused",
    "deferred",
)
BATCH_BYTES = Counter(
    "tidegate_batch_bytes_total", "Bytes of the batches of events that came.", registry=None
)
EVENTS = _counter(
    "tidegate_events_total", "Events of stored batches, by result.", "result", "accepted", "refused"
)
DROPPED_EVENTS = Counter(
    "tidegate_dropped_events_total",
    "Events that SDKs dropped, as told by stored batches.",
    registry=None,
)

# Worker.

FOLDED_BATCHES = Counter(
    "tidegate_folded_batches_total", "Batches that are in the live aggregates.", registry=None
)
FOLDED_EVENTS = Counter(
    "tidegate_folded_events_total", "Events that are in the live aggregates.", registry=None
)
FOLD_SECONDS = Histogram(
    "tidegate_fold_duration_seconds",
    "Time to fold one run of batches and to commit it.",
    registry=None,
    buckets=_SECONDS,
)
FOLD_CONFLICTS = Counter(
    "tidegate_fold_conflicts_total",
    "Runs that another worker had folded before.",
    registry=None,
)
SET_ASIDE_BATCHES = Counter(
    "tidegate_set_aside_batches_total",
    "Batches that could not be folded: see `tidegate rejected`.",
    registry=None,
)
EARLY_EVENTS = Counter(
    "tidegate_early_events_total",
    "Events that came more than a minute before their time, from clocks that are ahead.",
    registry=None,
)
SHARDS = Gauge("tidegate_worker_shards", "Shards that this worker serves.", registry=None)

# Controller: `signals.controller` sets these.

LEADER = Gauge(
    "tidegate_controller_leader", "Whether this controller decides: 1, or 0.", registry=None
)
LOOK_SECONDS = Histogram(
    "tidegate_controller_look_duration_seconds",
    "Time that one look at an experiment took.",
    registry=None,
    buckets=_SECONDS,
)
VERDICTS = _counter("tidegate_controller_verdicts_total", "Looks, by verdict.", "verdict", *Verdict)
FAILED_LOOKS = Counter(
    "tidegate_controller_failed_looks_total",
    "Looks that came to nothing because something failed.",
    registry=None,
)
DECISIONS = _counter(
    "tidegate_controller_decisions_total", "Decisions, by action.", "action", *Action
)

_BY_ROLE: Mapping[str, Sequence[MetricWrapperBase]] = {
    "server": (REQUESTS, REQUEST_SECONDS, BATCHES, BATCH_BYTES, EVENTS, DROPPED_EVENTS),
    "worker": (
        FOLDED_BATCHES,
        FOLDED_EVENTS,
        FOLD_SECONDS,
        FOLD_CONFLICTS,
        SET_ASIDE_BATCHES,
        EARLY_EVENTS,
        SHARDS,
    ),
    "controller": (LEADER, LOOK_SECONDS, VERDICTS, FAILED_LOOKS, DECISIONS),
}


def registry_of(role: str, environment: str, *live: Collector) -> CollectorRegistry:
    """Return what a role exposes: what it counts, what `live` reads, and figures of its process."""
    registry = CollectorRegistry()
    build = Gauge(
        "tidegate_build_info",
        "1; the labels tell the version, the role and its environment.",
        ["version", "role", "environment"],
        registry=registry,
    )
    build.labels(version("tidegate"), role, environment).set(1)
    for each in (STORE_ERRORS, *_BY_ROLE.get(role, ()), *live):
        registry.register(each)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
