"""Checks under way: begun when they are due, and their results remembered in the store."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from tidegate.backoff import Backoff
from tidegate_server.controller.checks.evaluations import evaluate
from tidegate_server.controller.checks.health import check_health
from tidegate_server.controller.checks.hooks import ask_hook, hook_body
from tidegate_server.controller.checks.outcome import Outcome, Say
from tidegate_server.controller.gates import (
    Check,
    EvaluationCheck,
    HealthCheck,
    checks_due,
    gate_of,
    stage_follows_replicas,
)
from tidegate_server.controller.web import Web
from tidegate_server.domain.experiments.look import OPEN, Gate
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.errors import FencedOff, StoreUnavailable
from tidegate_server.ports import Clock, Fence, GateResult, GateResults, Progress

log = structlog.get_logger(__name__)

_STORE_AGAIN = Backoff(first=0.25, longest=5.0)


class ReplicaGate(Protocol):
    """Says whether a stage's replicas are ready."""

    async def replicas_ready(self, experiment: Experiment) -> Gate:
        """Return what stands before the share of the stage that an experiment is entering."""
        ...


@dataclass
class _UnderWay:
    """A check that is being made. said: how it stands."""

    task: asyncio.Task[None]
    said: str = "no answer yet"


class Gatekeeper:
    """Makes checks beside the looks, and tells looks how they stand.

    environment: its name, part of what a hook knows a call by. allowed: programs that evaluations
    may run.
    """

    def __init__(
        self,
        environment: str,
        results: GateResults,
        web: Web,
        clock: Clock,
        replicas: ReplicaGate,
        *,
        allowed: Collection[str] = (),
    ) -> None:
        self._environment = environment
        self._results = results
        self._web = web
        self._clock = clock
        self._allowed = frozenset(allowed)
        self._replicas = replicas
        self._under_way: dict[ExperimentKey, dict[str, _UnderWay]] = {}

    async def gate(self, experiment: Experiment, fence: Fence) -> Gate:
        """Return what stands before an experiment's next step; what is due and not begun, begins.

        Raises:
            StoreUnavailable: the results can't be read.
        """
        plan, state, now = experiment.plan, experiment.state, self._clock.now()
        due = checks_due(plan, state, now)
        self._forget_done(plan.key)
        results = await self._results.load(plan.key) if due else {}
        missing = {name: each for name, each in due.items() if name not in results}
        self._make(experiment, missing, fence)
        under_way = self._under_way.get(plan.key, {})
        said = {name: each.said for name, each in under_way.items()}
        replicas = await self._ready(experiment)
        return gate_of(plan, state, now, results, said, replicas)

    def keep(self, experiments: Collection[ExperimentKey]) -> None:
        """End the checks of all other experiments."""
        for key in self._under_way.keys() - experiments:
            for each in self._under_way.pop(key).values():
                each.task.cancel()

    async def stop(self) -> None:
        """End all checks."""
        tasks = [each.task for checks in self._under_way.values() for each in checks.values()]
        self.keep(())
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget_done(self, key: ExperimentKey) -> None:
        """Forget checks that are done: what came of them is in the store, or must be asked again.

        Of one that is done while the results are read it is not known yet.
        """
        under_way = self._under_way.get(key, {})
        for name in [name for name, each in under_way.items() if each.task.done()]:
            del under_way[name]

    def _make(self, experiment: Experiment, wanted: Mapping[str, Check], fence: Fence) -> None:
        """Begin the checks that are wanted and not under way, and end the others."""
        under_way = self._under_way.setdefault(experiment.plan.key, {})
        for name in under_way.keys() - wanted.keys():
            under_way.pop(name).task.cancel()
        for name in wanted.keys() - under_way.keys():
            made = self._run(experiment, name, wanted[name], fence)
            under_way[name] = _UnderWay(asyncio.create_task(made))
        if not under_way:
            del self._under_way[experiment.plan.key]

    async def _run(self, experiment: Experiment, name: str, check: Check, fence: Fence) -> None:
        key = experiment.plan.key

        def say(text: str) -> None:
            under_way = self._under_way.get(key, {}).get(name)
            if under_way is not None:
                under_way.said = text

        log.info("check_begun", experiment=key, check=name, what=str(check))
        try:
            outcome = await self._ask(experiment, name, check, say)
        except Exception as error:
            log.exception("check_failed", experiment=key, check=name)
            outcome = Outcome(passed=False, why=f"{type(error).__name__}: {error}")
        log.info("check_done", experiment=key, check=name, passed=outcome.passed, why=outcome.why)
        progress = Progress.PASSED if outcome.passed else Progress.FAILED
        await self._note(key, name, GateResult(progress, outcome.why, self._clock.now()), fence)

    async def _ask(self, experiment: Experiment, name: str, check: Check, say: Say) -> Outcome:
        if isinstance(check, HealthCheck):
            return await check_health(check.address, say)
        if isinstance(check, EvaluationCheck):
            return await evaluate(check.evaluation, self._allowed, self._web, say)
        plan, state = experiment.plan, experiment.state
        call_id = f"{event_prefix(self._environment, experiment)}/{name}"
        return await ask_hook(self._web, check, hook_body(plan, state, check), call_id, say)

    async def _note(self, key: ExperimentKey, name: str, result: GateResult, fence: Fence) -> None:
        """Store a result, however long the store is away; unless another controller leads."""
        failures = 0
        while name in self._under_way.get(key, {}):
            try:
                await self._results.note(key, name, result, fence)
            except FencedOff as error:
                log.warning("check_fenced_off", experiment=key, check=name, cause=str(error))
            except StoreUnavailable:
                failures += 1
                await asyncio.sleep(_STORE_AGAIN.pause(failures))
                continue
            return

    async def _ready(self, experiment: Experiment) -> Gate:
        if not stage_follows_replicas(experiment.plan, experiment.state):
            return OPEN
        return await self._replicas.replicas_ready(experiment)


def event_prefix(environment: str, experiment: Experiment) -> str:
    """Return what names an experiment among all there ever were."""
    created_ms = round(experiment.created.timestamp() * 1_000)
    return f"{environment}/{experiment.plan.key}/{created_ms}"
