"""From a flag's replicas, and what is wanted of them, to the next orders.

What always holds, whatever comes:

* Of a variant that has traffic, or is kept, no order takes a replica out of traffic if then fewer
  were left than max(1, min(floor(present share · N), wanted number)), N being the replicas that
  can serve. On the way to another split a variant thus keeps what the lesser of its two shares
  needs. (Replicas that die may leave fewer; then none is taken.)
* A replica that takes traffic is drained before its variant changes.
* At most a quarter of N, and at least one, change at a time; to a variant that none serves yet,
  one goes first.
* As few change as can be: only what one variant lacks is taken from one that has too many, and
  first what costs nothing: a replica that is still draining goes back, one without a model is next.
  (One without a model that could not load what is lacking takes another's place.)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tidegate.model import PPM, VariantKey
from tidegate_server.domain.replicas.progress import Driven, progressed
from tidegate_server.domain.replicas.replica import (
    NONE,
    Order,
    Policy,
    Replica,
    ReplicaId,
    ReplicaState,
    Step,
)
from tidegate_server.domain.replicas.wanted import Wanted, counts

AT_ONCE = 4
"""One in so many of the replicas may change at a time, and always one."""


def reassign(
    replicas: Sequence[Replica],
    wanted: Wanted,
    policy: Policy,
    now: datetime,
    driven: Mapping[ReplicaId, Driven],
) -> list[Replica]:
    """Return those of a flag's replicas whose order or failures change, as they shall be.

    driven: what drivers say of the variants that their replicas were told to load. Pure.
    """
    after = {each.id: progressed(each, driven.get(each.id), policy, now) for each in replicas}
    board = _Board(
        [each for each in after.values() if can_serve(each, wanted.variants, policy, now)],
        wanted,
        policy,
        now,
    )
    after |= board.moved()
    return [after[each.id] for each in replicas if after[each.id] != each]


def can_serve(
    replica: Replica, variants: frozenset[VariantKey], policy: Policy, now: datetime
) -> bool:
    """Return whether a replica serves one of these variants, or could be made to."""
    state = replica.report.state
    if replica.drained or state is ReplicaState.DRAINING or not policy.lives(replica, now):
        return False
    if replica.order is not None:
        return True
    if state is ReplicaState.FAILED:
        return not replica.fixed and any(policy.may_load(replica, v, now) for v in variants)
    movable = not replica.fixed and state is ReplicaState.READY
    return movable or replica.variant in variants


class _Board:
    """The replicas of a flag that can serve, while orders are given."""

    def __init__(
        self, replicas: Sequence[Replica], wanted: Wanted, policy: Policy, now: datetime
    ) -> None:
        self._replicas = {each.id: each for each in replicas}
        self._wanted = wanted
        self._policy = policy
        self._now = now
        fixed = Counter(each.variant for each in replicas if each.fixed)
        self._counts = counts(wanted, len(replicas), fixed)

    def moved(self) -> dict[ReplicaId, Replica]:
        """Give orders until nothing is lacking, or nothing more may be changed."""
        moved: dict[ReplicaId, Replica] = {}
        while (following := self._next()) is not None:
            self._replicas[following.id] = moved[following.id] = following
        return moved

    def _next(self) -> Replica | None:
        """Return the replica that changes next, as it shall be; None: none may, or none has to."""
        replicas = self._replicas.values()
        assigned = Counter(map(destiny, replicas))
        serving = Counter(each.variant for each in replicas if each.takes_traffic)
        changing = sum(each.order is not None for each in replicas)
        neediest = sorted(
            (variant for variant, number in self._counts.items() if number),
            key=lambda v: (assigned[v] / self._counts[v], v != self._wanted.base, v),
        )
        spare = [
            each for each in replicas if not each.fixed and self._is_spare(destiny(each), assigned)
        ]
        room = changing < max(1, len(replicas) // AT_ONCE)
        ordered = {each.order.variant for each in replicas if each.order is not None}
        for variant in neediest:
            lacks = assigned[variant] < self._counts[variant]
            may_begin = room and (serving[variant] > 0 or variant not in ordered)
            usable = spare if lacks else [each for each in spare if destiny(each) == NONE]
            changes = [self._change(each, variant, serving, may_begin=may_begin) for each in usable]
            found = min(filter(None, changes), key=_cost, default=None)
            if found is not None:
                return found[1]
        return None

    def _is_spare(self, variant: VariantKey, assigned: Mapping[VariantKey, int]) -> bool:
        return variant == NONE or assigned[variant] > self._counts.get(variant, 0)

    def _change(
        self,
        replica: Replica,
        variant: VariantKey,
        serving: Mapping[VariantKey, int],
        *,
        may_begin: bool,
    ) -> tuple[int, Replica] | None:
        """Return what it costs to give a replica to a variant, and what it becomes; None: can't."""
        order, now = replica.order, self._now
        drains = order is not None and order.step is Step.DRAIN
        if drains and replica.variant == variant:
            return 0, replace(replica, order=None)
        if not self._policy.may_load(replica, variant, now):
            return None
        if order is not None:
            since = order.since if drains else now
            return 2 if drains else 3, replace(replica, order=Order(variant, order.step, since))
        if may_begin and destiny(replica) == NONE:
            return 1, replace(replica, order=Order(variant, Step.LOAD, now))
        least = least_serving(replica.variant, self._wanted, self._counts)
        if may_begin and replica.takes_traffic and serving[replica.variant] > least:
            return 4, replace(replica, order=Order(variant, Step.DRAIN, now))
        return None


def _cost(change: tuple[int, Replica]) -> tuple[int, float, str]:
    cost, replica = change
    return cost, replica.report.load, replica.id


def destiny(replica: Replica) -> VariantKey:
    """Return the variant that a replica serves or will serve, if nothing changes; NONE for none."""
    if replica.order is not None:
        return replica.order.variant
    return NONE if replica.report.state is ReplicaState.FAILED else replica.variant


def least_serving(
    variant: VariantKey, wanted: Wanted, wanted_counts: Mapping[VariantKey, int]
) -> int:
    """Return below how many replicas that take its traffic no order brings a variant."""
    share = wanted.present.get(variant, 0)
    if not share and variant not in wanted.kept:
        return 0
    needed = share * sum(wanted_counts.values()) // PPM
    return max(1, min(needed, wanted_counts.get(variant, 0)))
