"""One look at one experiment: read, decide, commit."""

from typing import NamedTuple

from tidegate_server.controller.evidence import Evidence
from tidegate_server.controller.gatekeeper import Gatekeeper
from tidegate_server.domain.experiments.decide import decide_and_see
from tidegate_server.domain.experiments.look import Look, flag_seen
from tidegate_server.domain.experiments.records import Decision, Experiment, Seen
from tidegate_server.ports import Clock, Fence
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.experiment_commits import ExperimentCommits


class Looked(NamedTuple):
    """What came of a look. revision: at which it changed the split; 0 if it did not."""

    experiment: Experiment
    seen: Seen
    decisions: tuple[Decision, ...]
    revision: int


class Looks:
    """Takes looks. clock: the store's time, so that all controllers have one."""

    def __init__(
        self,
        configs: ConfigFeed,
        evidence: Evidence,
        gates: Gatekeeper,
        commits: ExperimentCommits,
        clock: Clock,
    ) -> None:
        self._configs = configs
        self._evidence = evidence
        self._gates = gates
        self._commits = commits
        self._clock = clock

    async def look(self, experiment: Experiment, fence: Fence) -> Looked:
        """Look at an active experiment, and commit what comes of it.

        Raises:
            VersionConflict, RevisionConflict: what was known is old: look again.
            FencedOff: another controller leads.
            StoreUnavailable: it may or may not be stored.
        """
        plan, state = experiment.plan, experiment.state
        gate = await self._gates.gate(experiment, fence)
        snapshot = self._configs.snapshot
        found = await self._evidence.read(plan, state, snapshot.flags.get(plan.flag))
        now = self._clock.now()
        look = Look(flag_seen(plan, snapshot), found, gate)
        step, seen = decide_and_see(plan, state, look, now)
        after = await self._commits.commit(
            experiment, step, snapshot=snapshot, now=now, fence=fence, seen=seen
        )
        revision = 0 if step.share_ppm is None else snapshot.revision + 1
        return Looked(after, seen, step.decisions, revision)
