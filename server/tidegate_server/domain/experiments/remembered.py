"""What is remembered of a treatment: it is not retried by itself, and who retries it is told."""

from collections.abc import Iterable

from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import Status

_WORDS = {Status.ROLLED_BACK: "was rolled back", Status.REJECTED: "was rejected"}


def last_failure(plan: Plan, experiments: Iterable[Experiment]) -> str:
    """Say how another experiment with this flag and treatment failed last; empty: none did."""
    failures = [
        (memory, each.plan.key)
        for each in experiments
        if (each.plan.flag, each.plan.treatment) == (plan.flag, plan.treatment)
        for memory in each.state.memories
        if memory.status in _WORDS and each.plan.key != plan.key
    ]
    if not failures:
        return ""
    memory, key = max(failures, key=lambda failure: failure[0].time)
    when = f"{memory.time:%Y-%m-%d %H:%M} UTC"
    return f"{plan.treatment} {_WORDS[memory.status]} by {key} on {when}: {memory.why}"
