"""What a controller tells of its work: it calls these, and does not touch metrics itself.

Its registry is `registry_of("controller", environment, EXPERIMENTS, REPLICAS)`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

import structlog
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidegate.model import PPM
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.records import Decision
from tidegate_server.domain.experiments.state import ENDED, State, Status
from tidegate_server.signals import metrics
from tidegate_server.signals.replicas import REPLICAS

log = structlog.get_logger(__name__)

MOST_EXPERIMENTS = 200
"""Experiments whose share is exposed: the first by key. All are counted."""


class ExperimentStates(Collector):
    """Where experiments stand; those that have ended are left out."""

    def __init__(self) -> None:
        self.active: Mapping[str, State] | None = None  # replaced, never changed; None: not known

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called by a thread of its own."""
        active = self.active
        if active is None:
            return
        counts = Counter(state.status for state in active.values())
        by_status = GaugeMetricFamily(
            "tidegate_experiments", "Experiments that have not ended, by status.", labels=["status"]
        )
        for status in Status:
            if status not in ENDED:
                by_status.add_metric([status.value], counts[status])
        share = GaugeMetricFamily(
            "tidegate_experiment_share_ratio",
            "The treatment's share, of each experiment that has not ended.",
            labels=["experiment"],
        )
        for key, state in islice(sorted(active.items()), MOST_EXPERIMENTS):
            share.add_metric([key], state.share_ppm / PPM)
        yield by_status
        yield share


EXPERIMENTS = ExperimentStates()


def note_leadership(*, leads: bool) -> None:
    """Note whether this controller decides; one that does not tells nothing of what there is."""
    metrics.LEADER.set(leads)
    if not leads:
        EXPERIMENTS.active = None
        REPLICAS.read = None


def note_experiments(states: Mapping[str, State]) -> None:
    """Note where all experiments stand, by key."""
    EXPERIMENTS.active = {key: s for key, s in states.items() if s.status not in ENDED}


def note_look(verdict: Verdict, seconds: float) -> None:
    """Note what one look found, and how long it took."""
    metrics.LOOK_SECONDS.observe(seconds)
    metrics.VERDICTS.labels(verdict).inc()


def note_failed_look(experiment: str, error: Exception) -> None:
    """Count a look that came to nothing, and warn of it."""
    metrics.FAILED_LOOKS.inc()
    log.warning("look_failed", experiment=experiment, cause=str(error) or type(error).__name__)


def note_decision(experiment: str, decision: Decision, revision: int = 0) -> None:
    """Count a decision that is stored, and write its one line into the log.

    revision: of the configuration, at which it changed the split; 0 if it did not.
    """
    metrics.DECISIONS.labels(decision.action).inc()
    log.info(
        "decision",
        experiment=experiment,
        action=decision.action.value,
        actor=decision.actor,
        why=decision.why,
        stage=decision.stage,
        before=decision.before.status.value,
        after=decision.after.status.value,
        share=decision.after.share_ppm / PPM,
        phase=decision.phase,
        revision=revision,
        verdict=decision.verdict.value if decision.verdict else None,
        units=decision.units,
    )
