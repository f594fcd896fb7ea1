"""Orders to replicas: what they serve follows the split, and the stage that is being entered."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace

import structlog

from tidegate.model import FlagKey, JsonObject, Snapshot
from tidegate_server.controller.lease import Term
from tidegate_server.controller.replicas.errands import Errands
from tidegate_server.domain.experiments.look import Gate, GateState
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import ACTIVE
from tidegate_server.domain.replicas.gate import replica_gate
from tidegate_server.domain.replicas.hearing import Hearing
from tidegate_server.domain.replicas.reassign import reassign
from tidegate_server.domain.replicas.replica import (
    Fleet,
    Policy,
    Replica,
    Step,
    change_in_words,
)
from tidegate_server.domain.replicas.wanted import wanted_by
from tidegate_server.errors import FencedOff, Retriable
from tidegate_server.ports import Fence, ReplicaStore
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.experiment_feed import ExperimentFeed
from tidegate_server.signals.replicas import note_replicas
from tidegate_server.waiting import pause

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""How often replicas are looked at that have nothing new to say."""

AGAIN_SECONDS = 1.0
"""How long to wait when the store is away."""


class Reconciler:
    """Tells the replicas of all flags what to serve, while its controller leads."""

    def __init__(
        self,
        store: ReplicaStore,
        configs: ConfigFeed,
        experiments: ExperimentFeed,
        errands: Errands,
        policy: Policy,
    ) -> None:
        self._store = store
        self._configs = configs
        self._experiments = experiments
        self._errands = errands
        self._policy = policy
        self._hearing = Hearing(policy)

    async def run(self, term: Term) -> None:
        """Go on until the term is over."""
        self._hearing = Hearing(self._policy)
        while not term.over.is_set():
            try:
                await self._follow(term)
            except FencedOff as error:
                term.end(str(error))
            except Retriable as error:
                log.warning("replicas_not_ordered", cause=str(error))
                self._hearing.interrupt()
                await pause(term.over, AGAIN_SECONDS)
            except Exception:
                log.exception("reconciler_broke")
                await pause(term.over, AGAIN_SECONDS)
        await self._errands.stop()

    async def replicas_ready(self, experiment: Experiment) -> Gate:
        """Return whether the stage that is being entered has its replicas.

        Raises:
            StoreUnavailable: they can't be read.
        """
        plan, snapshot = experiment.plan, self._configs.snapshot
        flag = snapshot.flags.get(plan.flag)
        if flag is None:
            return Gate(GateState.WAITING, f"flag {plan.flag} is not known")
        wanted = wanted_by(flag, snapshot.holdout_ppm, experiment)
        fleet = self._hearing.judge(await self._store.load())
        replicas = fleet.of(plan.flag)
        return replica_gate(plan, experiment.state, wanted, replicas, self._policy, fleet.now)

    async def tick(
        self,
        experiments: Mapping[ExperimentKey, Experiment],
        snapshot: Snapshot,
        fence: Fence,
        fleet: Fleet | None = None,
    ) -> None:
        """Give the orders that are due, once. fleet: as just read; None: read it.

        Raises:
            FencedOff: another controller leads; nothing was changed.
            StoreUnavailable: the store can't be reached.
        """
        before = self._hearing.judge(fleet or await self._store.load())
        flags = {each.flag for each in before.replicas.values()} & snapshot.flags.keys()
        changed = {
            each.id: each
            for flag in flags
            for each in self._of_flag(flag, before, experiments, snapshot)
        }
        if changed:
            await self._store.order(list(changed.values()), fence)
            for name, replica in changed.items():
                _log(before.replicas[name], replica)
        after = replace(before, replicas={**before.replicas, **changed})
        note_replicas(after, self._policy)
        self._errands.keep(_loading(after, snapshot))

    def _of_flag(
        self,
        key: FlagKey,
        fleet: Fleet,
        experiments: Mapping[ExperimentKey, Experiment],
        snapshot: Snapshot,
    ) -> list[Replica]:
        held_by = (each for each in experiments.values() if each.plan.flag == key)
        active = next((each for each in held_by if each.state.status in ACTIVE), None)
        replicas = fleet.of(key)
        return reassign(
            replicas,
            wanted_by(snapshot.flags[key], snapshot.holdout_ppm, active),
            self._policy,
            fleet.now,
            self._errands.driven(replicas),
        )

    async def _follow(self, term: Term) -> None:
        """Tick whenever a replica has news, and every now and then."""
        seconds = min(TICK_SECONDS, self._policy.heartbeat.total_seconds())
        async with aclosing(self._store.follow(seconds)) as fleets:
            async for fleet in fleets:
                if term.over.is_set():
                    return
                known = self._configs.ready.is_set() and self._experiments.ready.is_set()
                if fleet is not None and known:
                    await self.tick(
                        self._experiments.experiments, self._configs.snapshot, term.fence, fleet
                    )


def _loading(fleet: Fleet, snapshot: Snapshot) -> dict[Replica, JsonObject]:
    """Return the replicas whose drivers shall load a variant, with its value."""
    wanted: dict[Replica, JsonObject] = {}
    for each in fleet.replicas.values():
        flag, order = snapshot.flags.get(each.flag), each.order
        if flag is None or order is None or order.step is not Step.LOAD or not each.driver_url:
            continue
        values = {variant.key: variant.value for variant in flag.variants}
        wanted[each] = values.get(order.variant, {})
    return wanted


def _log(before: Replica, after: Replica) -> None:
    """Log what has become of a replica."""
    for each in after.failures:
        if each != before.failure(each.variant):
            log.warning(
                "replica_failed",
                replica=after.id,
                flag=after.flag,
                variant=each.variant,
                tries=each.tries,
                cause=each.problem,
            )
    if after.order != before.order:
        log.info(
            "replica_ordered",
            replica=after.id,
            flag=after.flag,
            change=change_in_words(after) or f"serves {after.variant or 'nothing'}",
            before=change_in_words(before) or f"served {before.variant or 'nothing'}",
        )
