"""Simulated replicas that obey, fail and die, under the orders of `reassign`."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.server.domain.experiments.samples import NOW
from tests.server.domain.replicas.samples import BEAT, POLICY, V1, percent, replica, wanted
from tidegate.model import PPM, VariantKey
from tidegate_server.domain.replicas.reassign import AT_ONCE, can_serve, least_serving, reassign
from tidegate_server.domain.replicas.replica import (
    NONE,
    Replica,
    ReplicaId,
    ReplicaState,
    Report,
    Step,
)
from tidegate_server.domain.replicas.wanted import Wanted, counts


@dataclass
class Process:
    """A model server. loading: what it loads, and for how many more heartbeats."""

    variant: VariantKey
    alive: bool = True
    under_way: int = 0
    loading: tuple[VariantKey, int] | None = None
    failed: bool = False
    tried: VariantKey = NONE


@dataclass
class World:
    """Replicas of one flag; `tick` lets a heartbeat's time pass. Every tick is checked.

    broken: what a replica can't load. slow: heartbeats that a load takes. loads: so far.
    """

    wanted: Wanted = field(default_factory=lambda: wanted(percent(v1=100)))
    now: datetime = NOW
    stored: dict[ReplicaId, Replica] = field(default_factory=dict)
    processes: dict[ReplicaId, Process] = field(default_factory=dict)
    broken: set[tuple[ReplicaId, VariantKey]] = field(default_factory=set)
    slow: int = 2
    busy: int = 0
    loads: int = 0

    def start(self, name: str, variant: VariantKey = V1, *, fixed: bool = False) -> None:
        """Start a replica, or start it anew."""
        key = ReplicaId(name)
        self.processes[key] = Process(variant)
        before = self.stored.get(key, replica(name, fixed=fixed))
        report = Report(ReplicaState.READY, variant)
        self.stored[key] = replace(before, report=report, registered=self.now, heard=self.now)

    def tick(self) -> int:
        """Let time pass; return how many orders were changed."""
        self.now += BEAT
        for key, process in self.processes.items():
            if process.alive:
                self._beat(key, process)
        before = dict(self.stored)
        changed = reassign(list(before.values()), self.wanted, POLICY, self.now, {})
        self.stored |= {each.id: each for each in changed}
        self._check(before)
        return len(changed)

    def settle(self) -> None:
        """Mend everything, and go on until nothing changes any more."""
        self.broken.clear()
        self.busy, self.slow = 0, 1
        for key, process in self.processes.items():
            if not process.alive:
                self.start(key, process.variant)
        quiet = 0
        for _ in range(200 + 30 * len(self.stored)):
            quiet = 0 if self.tick() or self.orders() else quiet + 1
            failed = any(each.failures for each in self.able())
            if quiet >= 3 and not failed:
                return
            if quiet == 3:
                self.now += timedelta(hours=1)  # every cool-off is over
            if quiet == 6:
                return  # what failed there is not lacking any more
        raise AssertionError(f"it does not settle: {self.stored}")

    def orders(self) -> int:
        return sum(each.order is not None for each in self.stored.values())

    def serving(self, variant: VariantKey) -> int:
        return sum(self._serves(each, variant) for each in self.stored.values())

    def able(self) -> list[Replica]:
        every = self.stored.values()
        return [each for each in every if can_serve(each, self.wanted.variants, POLICY, self.now)]

    def numbers(self) -> dict[VariantKey, int]:
        """Return how many replicas each variant shall have."""
        able = self.able()
        return counts(self.wanted, len(able), Counter(each.variant for each in able if each.fixed))

    def _serves(self, each: Replica, variant: VariantKey) -> bool:
        living = POLICY.lives(each, self.now)
        return each.takes_traffic and living and each.variant == variant

    def _beat(self, key: ReplicaId, process: Process) -> None:
        """Heartbeat as an agent does: obey what the answer to the last one said."""
        stored = self.stored[key]
        process.under_way = self.busy if stored.takes_traffic else max(0, process.under_way - 1)
        if process.loading is not None:
            variant, rest = process.loading
            process.loading = (variant, rest - 1) if rest > 1 else None
            if process.loading is None:
                process.failed = (key, variant) in self.broken
                process.variant = NONE if process.failed else variant
        report = Report(
            _state(process), process.variant, float(process.under_way), "x" * process.failed
        )
        self.stored[key] = replace(stored, report=report, heard=self.now)
        told = stored.order.variant if stored.order and stored.order.step is Step.LOAD else NONE
        free = process.loading is None and told not in (NONE, process.variant)
        if free and not (process.failed and told == process.tried):
            process.loading, process.failed = (told, self.slow), False
            self.loads += 1
        process.tried = told

    def _check(self, before: dict[ReplicaId, Replica]) -> None:
        able, numbers = self.able(), self.numbers()
        for variant in {*self.wanted.present, *self.wanted.kept}:
            had = sum(self._serves(each, variant) for each in before.values())
            least = least_serving(variant, self.wanted, numbers)
            share = self.wanted.present.get(variant, 0)
            assert least >= 1
            assert least >= min(share * len(able) // PPM, numbers.get(variant, 0))
            assert self.serving(variant) >= min(had, least)
        busy = sum(each.order is not None for each in before.values())
        assert self.orders() <= max(busy, 1, len(able) // AT_ONCE)
        for key, was in before.items():
            self._check_order(was, self.stored[key])

    def _check_order(self, was: Replica, now: Replica) -> None:
        if now.order is None or now.order == was.order:
            return
        assert not now.fixed
        assert not now.drained
        assert POLICY.lives(now, self.now)
        if was.takes_traffic:
            assert now.order.step is Step.DRAIN
        if was.order and was.order.step is Step.DRAIN and now.order.step is Step.LOAD:
            waited = self.now - was.order.since
            idle = was.report.load == 0 and waited >= BEAT
            assert idle or waited >= POLICY.drain or was.report.state is not ReplicaState.READY


def _state(process: Process) -> ReplicaState:
    if process.loading is not None:
        return ReplicaState.LOADING
    return ReplicaState.FAILED if process.failed else ReplicaState.READY
