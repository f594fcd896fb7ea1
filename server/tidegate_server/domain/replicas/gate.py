"""Whether a stage over replicas may be given its share."""

from collections.abc import Collection
from datetime import datetime

from tidegate_server.domain.experiments.look import OPEN, Gate, GateState
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.state import State, Status, stage_of
from tidegate_server.domain.replicas.reassign import can_serve
from tidegate_server.domain.replicas.replica import Policy, Replica
from tidegate_server.domain.replicas.wanted import Wanted, counts

MOST_PROBLEMS = 3
"""How many replicas' problems are told."""


def replica_gate(
    plan: Plan,
    state: State,
    wanted: Wanted,
    replicas: Collection[Replica],
    policy: Policy,
    now: datetime,
) -> Gate:
    """Return whether the stage that is being entered has its replicas.

    It waits until the stage's share of the replicas that can serve, rounded up, take the
    treatment's traffic; one is left to the control, and to each other variant that keeps one.
    (What is fixed to other variants leaves fewer than the share needs: then it waits.) Nothing here
    fails: the stage's limits end it. wanted: of the flag's replicas.
    """
    stage = stage_of(plan, state)
    if state.status is not Status.ENTERING or not stage.replicas:
        return OPEN
    able = [
        each
        for each in replicas
        if each.flag == plan.flag and can_serve(each, wanted.variants, policy, now)
    ]
    if len(able) < 2:
        return Gate(
            GateState.WAITING,
            f"{len(able)} of the replicas of {plan.flag} can serve: {stage.name} needs one for "
            f"{plan.control} and one for {plan.treatment}",
        )
    needed = max(1, counts(wanted, len(able)).get(plan.treatment, 0))
    ready = sum(
        each.takes_traffic and each.variant == plan.treatment and not each.spared for each in able
    )
    if ready >= needed:
        return OPEN
    said = [f"{ready} of {needed} replicas serve {plan.treatment}"]
    failures = [(each.id, each.failure(plan.treatment)) for each in replicas]
    said += [f"{name}: {failed.problem}" for name, failed in failures if failed is not None]
    return Gate(GateState.WAITING, "; ".join(said[: 1 + MOST_PROBLEMS]))
