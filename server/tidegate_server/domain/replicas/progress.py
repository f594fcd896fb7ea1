"""How far an order has come."""

from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.model import VariantKey
from tidegate_server.domain.durations import format_duration
from tidegate_server.domain.replicas.replica import (
    Failure,
    Order,
    Policy,
    Replica,
    ReplicaState,
    Step,
)


@dataclass(frozen=True, slots=True)
class Driven:
    """What a replica's driver says of the variant that it was told to load.

    healthy: it is loaded, and answers. problem: why it could not be; "": nothing is wrong.
    said: how it stands, in words.
    """

    healthy: bool = False
    problem: str = ""
    said: str = ""


def progressed(replica: Replica, driven: Driven | None, policy: Policy, now: datetime) -> Replica:
    """Return a replica with its order carried on, done, given up or taken back.

    driven: None where the driver has not said anything yet.
    """
    order = replica.order
    if order is None:
        return _recovered(replica)
    if not policy.lives(replica, now):
        return _failed(replica, order, "it fell silent", now)
    if replica.drained or replica.fixed or replica.report.state is ReplicaState.DRAINING:
        return replace(replica, order=None)
    if order.step is Step.DRAIN:
        empty = _is_empty(replica, order, policy, now)
        return replace(replica, order=Order(order.variant, Step.LOAD, now)) if empty else replica
    problem = _problem(replica, order, driven, policy, now)
    if problem:
        return _failed(replica, order, problem, now)
    if _is_loaded(replica, order, driven):
        return _recovered(replace(replica, order=None))
    return replica


def _is_empty(replica: Replica, order: Order, policy: Policy, now: datetime) -> bool:
    """Return whether a replica has no traffic left, or was given long enough to finish it.

    What it says counts once clients have had a heartbeat's time to hear that it takes no more.
    """
    if replica.report.state is not ReplicaState.READY:
        return True
    heard = replica.heard - order.since >= policy.heartbeat
    return (heard and replica.report.load == 0) or now - order.since >= policy.drain


def _is_loaded(replica: Replica, order: Order, driven: Driven | None) -> bool:
    report = replica.report
    says_so = report.state is ReplicaState.READY and report.variant == order.variant
    healthy = not replica.driver_url or (driven is not None and driven.healthy)
    return says_so and healthy and replica.heard > order.since


def _problem(
    replica: Replica, order: Order, driven: Driven | None, policy: Policy, now: datetime
) -> str:
    """Return why a replica can't load what it was told to; "": nothing is wrong so far.

    It may have been FAILED before, and hears of the order with one heartbeat, so that only what it
    says with a later one is about this.
    """
    if driven is not None and driven.problem:
        return driven.problem
    if replica.registered > order.since:
        return "it started anew while it loaded"
    about_this = replica.heard - order.since >= 2 * policy.heartbeat
    if replica.report.state is ReplicaState.FAILED and about_this:
        return replica.report.problem or "it failed, and did not say why"
    if now - order.since >= policy.load:
        said = f": {driven.said}" if driven is not None and driven.said else ""
        return f"was not served within {format_duration(policy.load)}{said}"
    return ""


def _failed(replica: Replica, order: Order, problem: str, now: datetime) -> Replica:
    """Take an order back; one that was only draining has not failed."""
    if order.step is Step.DRAIN:
        return replace(replica, order=None)
    before = replica.failure(order.variant)
    failure = Failure(order.variant, before.tries + 1 if before else 1, now, problem)
    others = _failures_without(replica, order.variant)
    return replace(replica, order=None, failures=(*others, failure))


def _recovered(replica: Replica) -> Replica:
    """Forget that a replica could not load what it serves now."""
    if not replica.takes_traffic or replica.failure(replica.variant) is None:
        return replica
    return replace(replica, failures=_failures_without(replica, replica.variant))


def _failures_without(replica: Replica, variant: VariantKey) -> tuple[Failure, ...]:
    return tuple(each for each in replica.failures if each.variant != variant)
