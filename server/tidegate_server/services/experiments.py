"""Administration of experiments, and what people ask of them."""

from collections.abc import Sequence
from dataclasses import replace

from tidegate.model import FlagKey
from tidegate_server.domain.checks import check_length, unknown
from tidegate_server.domain.experiments import checks
from tidegate_server.domain.experiments.commands import command
from tidegate_server.domain.experiments.look import flag_seen
from tidegate_server.domain.experiments.plan import ExperimentKey, Plan
from tidegate_server.domain.experiments.records import (
    CONTROLLER,
    Experiment,
    NumberedDecision,
    Seen,
)
from tidegate_server.domain.experiments.remembered import last_failure
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import ENDED, State, Status
from tidegate_server.errors import (
    AlreadyExists,
    InvalidField,
    InvalidFields,
    Refused,
    RevisionConflict,
    VersionConflict,
)
from tidegate_server.ports import ExperimentCommit, ExperimentStore, SharedClock
from tidegate_server.services.commits import confirmed_in_time
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.experiment_commits import ExperimentCommits

DELETABLE = ENDED | {Status.DRAFT}


class Experiments:
    """Creates, reads and deletes experiments, and does what people ask of them.

    What people ask is decided by what the experiment and its flag look like, and made only if both
    still do; otherwise it is decided anew. clock: the store's time, as controllers have it: by that
    of a server that is late a preflight would be over when it begins.
    """

    def __init__(
        self,
        store: ExperimentStore,
        commits: ExperimentCommits,
        feed: ConfigFeed,
        clock: SharedClock,
    ) -> None:
        self._store = store
        self._commits = commits
        self._feed = feed
        self._clock = clock

    async def validate(
        self, plan: Plan, unread: Sequence[InvalidField] = ()
    ) -> Sequence[InvalidField]:
        """Return all that is wrong with a plan and beside its flag, at most once for each field.

        unread: what could not be read of it, in whose place it has something harmless.

        Raises:
            StoreUnavailable: the flags were not read yet.
        """
        async with confirmed_in_time():
            await self._feed.ready.wait()
        flags = self._feed.snapshot.flags
        if plan.flag in flags:
            beside = checks.flag_problems(plan, flags[plan.flag])
        else:
            beside = (InvalidField("flag", f"flag {unknown(plan.flag, flags)}"),)
        found = (*checks.problems(plan), *beside)
        return checks.each_once([*unread, *(each for each in found if not _within(each, unread))])

    async def create(self, plan: Plan, unread: Sequence[InvalidField] = ()) -> Experiment:
        """Store a plan as a draft. unread: as in `validate`.

        Raises:
            InvalidFields: names all that is wrong.
            AlreadyExists: there is an experiment by this key.
            StoreUnavailable: it may or may not be stored.
        """
        wrong = await self.validate(plan, unread)
        if wrong:
            raise InvalidFields(wrong)
        await self._clock.read()
        now = self._clock.now()
        draft = Experiment(plan, State(), version=1, created=now, updated=now)
        try:
            await self._store.commit(ExperimentCommit(draft))
        except VersionConflict:
            raise AlreadyExists(
                f"experiment {plan.key!r} exists: choose another key; a plan can't be changed"
            ) from None
        return draft

    async def get(self, key: ExperimentKey) -> Experiment:
        """Return an experiment.

        Raises:
            NotFound, StoreUnavailable
        """
        return await self._store.get(key)

    async def list(self, flag: FlagKey | None = None) -> Sequence[Experiment]:
        """Return all experiments, or those on one flag, in the order of their keys.

        Raises:
            StoreUnavailable
        """
        found = (await self._store.load()).values()
        return [each for each in found if flag in (None, each.plan.flag)]

    async def delete(self, key: ExperimentKey) -> None:
        """Delete a draft, or an experiment that has ended, with its logs.

        Raises:
            Refused: it is active.
            NotFound, StoreUnavailable
        """
        async with confirmed_in_time():
            while True:
                experiment = await self._store.get(key)
                status = experiment.state.status
                if status not in DELETABLE:
                    raise Refused(
                        f"experiment {key!r} is {status}: abort it first, and delete it once it "
                        "has ended"
                    )
                try:
                    return await self._store.delete(key, experiment.version)
                except VersionConflict:
                    continue

    async def ask(self, key: ExperimentKey, asked: Command, version: int = 0) -> Experiment:
        """Do what somebody asks for; return the experiment afterwards.

        version: at which the experiment must be; 0: any.

        Raises:
            InvalidField: who asks is not named, or too much is said.
            Refused: it makes no sense as things stand.
            InUse: another active experiment holds the flag.
            VersionConflict: the experiment is not at the version that was named.
            NotFound
            StoreUnavailable: it may or may not be done.
        """
        _check(asked)
        async with confirmed_in_time():
            await self._feed.ready.wait()
            await self._clock.read()
            if asked.request is Request.START:
                asked = await self._informed(key, asked)
            while True:
                experiment = await self._store.get(key)
                _expect(experiment, version)
                snapshot, now = self._feed.snapshot, self._clock.now()
                flag = flag_seen(experiment.plan, snapshot)
                step = command(experiment.plan, experiment.state, asked, flag, now)
                try:
                    return await self._commits.commit(experiment, step, snapshot=snapshot, now=now)
                except VersionConflict:
                    continue
                except RevisionConflict:
                    await self._feed.reach(snapshot.revision + 1)

    async def decisions(
        self, key: ExperimentKey, after: int, limit: int
    ) -> Sequence[NumberedDecision]:
        """Return up to `limit` decisions with numbers above `after`, in order.

        Raises:
            NotFound, StoreUnavailable
        """
        await self._store.get(key)
        return await self._store.decisions(key, after, limit)

    async def looks(self, key: ExperimentKey, after_ms: int, most: int) -> Sequence[Seen]:
        """Return what looks after this time saw, by time; of more than `most`, evenly chosen ones.

        Raises:
            NotFound, StoreUnavailable
        """
        await self._store.get(key)
        return await self._store.looks(key, after_ms, most)

    async def _informed(self, key: ExperimentKey, asked: Command) -> Command:
        """Return a request to start that also says how the treatment failed before, if it did."""
        plan = (await self._store.get(key)).plan
        failure = last_failure(plan, (await self._store.load()).values())
        return replace(asked, why="; ".join(filter(None, [asked.why, failure])))


def _within(problem: InvalidField, unread: Sequence[InvalidField]) -> bool:
    """Return whether a problem is of what stands in for a field that could not be read."""
    return any(problem.field.startswith((f"{each.field}.", f"{each.field}[")) for each in unread)


def _check(asked: Command) -> None:
    check_length("actor", asked.actor, 1, 200)
    check_length("why", asked.why, 0, 1_000)
    if asked.actor == CONTROLLER:
        raise InvalidField(
            "actor", f"{CONTROLLER!r} stands for what nobody asked for: give another name"
        )


def _expect(experiment: Experiment, version: int) -> None:
    if version not in (0, experiment.version):
        raise VersionConflict(
            f"experiment {experiment.plan.key!r} is at version {experiment.version}, "
            f"not {version}: it has changed; read it again and repeat the request"
        )
