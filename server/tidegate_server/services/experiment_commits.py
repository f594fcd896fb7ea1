"""How a step of an experiment is made: one commit of its state, its flag's split and decisions."""

from dataclasses import replace
from datetime import datetime

from tidegate.model import FlagChange, Revision, Snapshot
from tidegate_server.domain.experiments.records import Experiment, Seen, Step
from tidegate_server.domain.flags import with_split
from tidegate_server.ports import ExperimentCommit, ExperimentStore, Fence
from tidegate_server.services.config_feed import ConfigFeed


class ExperimentCommits:
    """Commits steps, whoever asks for them.

    The answer comes after this process knows a new split itself, so that it does not take it for
    one that was changed by hand.
    """

    def __init__(self, store: ExperimentStore, feed: ConfigFeed) -> None:
        self._store = store
        self._feed = feed

    async def commit(
        self,
        experiment: Experiment,
        step: Step,
        *,
        snapshot: Snapshot,
        now: datetime,
        fence: Fence | None = None,
        seen: Seen | None = None,
    ) -> Experiment:
        """Commit what comes of a look or a command; return the experiment afterwards.

        experiment, snapshot: as they were when the step was decided. fence: of the controller; None
        for what a person asked for. seen: by the look.

        Raises:
            VersionConflict: the experiment has changed since; nothing was changed.
            RevisionConflict: the configuration has, and the step decides something; nothing was
                changed. The feed may lag behind: wait until it is past `snapshot`.
            FencedOff: another controller leads; nothing was changed.
            InUse: another active experiment holds the flag; nothing was changed.
            StoreUnavailable: no reply arrived: it may or may not be stored.
        """
        following = replace(
            experiment, state=step.state, version=experiment.version + 1, updated=now
        )
        change = _change(experiment, step, snapshot, now)
        await self._store.commit(
            ExperimentCommit(
                experiment=following,
                change=change,
                decisions=step.decisions,
                fence=fence,
                seen=seen,
                revision=snapshot.revision if step.decisions else None,
            )
        )
        if change is not None:
            await self._feed.reach(change.revision)
        return following


def _change(
    experiment: Experiment, step: Step, snapshot: Snapshot, now: datetime
) -> FlagChange | None:
    """Return the change that gives the treatment the step's share; None if the split stays."""
    if step.share_ppm is None:
        return None
    plan, revision = experiment.plan, Revision(snapshot.revision + 1)
    flag = with_split(snapshot.flags[plan.flag], plan.split(step.share_ppm), revision, now)
    return FlagChange(revision, plan.flag, flag)
