"""Steps of experiments, made by processes that each have their own view of the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from redis.asyncio import Redis

from tests.server.domain.experiments.samples import NOW, PLAN
from tests.server.services.test_commits import Midnight, ignore
from tests.server.storage.samples import flag
from tidegate.model import FlagChange, FlagKey, Revision, SplitShare, VariantKey
from tidegate_server.domain.experiments.decide import decide
from tidegate_server.domain.experiments.look import Look, flag_seen
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import Experiment, Step
from tidegate_server.domain.experiments.requests import Command, Request
from tidegate_server.domain.experiments.state import State, Status
from tidegate_server.errors import RevisionConflict, StoreUnavailable, VersionConflict
from tidegate_server.services import commits as commits_module
from tidegate_server.services.commits import Commits
from tidegate_server.services.config_feed import ConfigFeed
from tidegate_server.services.experiment_commits import ExperimentCommits
from tidegate_server.services.experiments import Experiments
from tidegate_server.services.flags import Flags
from tidegate_server.storage.clock import StoreClock
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.experiment_store import RedisExperimentStore

KEY = FlagKey("chat-model")
LATER = NOW + timedelta(hours=1)
FIVE = (SplitShare(VariantKey("v1"), 950_000), SplitShare(VariantKey("v2"), 50_000))


@dataclass
class Process:
    """One process of several."""

    store: RedisExperimentStore
    feed: ConfigFeed
    flags: Flags
    commits: ExperimentCommits
    experiments: Experiments


@asynccontextmanager
async def process(client: Redis, environment: str) -> AsyncIterator[Process]:
    configs = RedisConfigStore(client, environment)
    store, feed = RedisExperimentStore(client, environment), ConfigFeed(configs, ignore)
    commits = ExperimentCommits(store, feed)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        await feed.ready.wait()
        experiments = Experiments(store, commits, feed, StoreClock(client))
        yield Process(store, feed, Flags(Commits(configs, feed, Midnight())), commits, experiments)
        feed.end()


@pytest.fixture
async def one(client: Redis, environment: str) -> AsyncIterator[Process]:
    """A process with an experiment at 5 %, as its flag is."""
    async with process(client, environment) as made:
        await made.flags.create(replace(flag(), split=FIVE))
        await made.experiments.create(PLAN)
        observing = State(
            Status.OBSERVING, share_ppm=50_000, attempt=1, started=NOW, last_healthy=NOW
        )
        draft = await made.store.get(PLAN.key)
        await made.commits.commit(draft, Step(observing), snapshot=made.feed.snapshot, now=NOW)
        yield made


async def test_a_step_changes_state_split_and_phase_at_once(one: Process) -> None:
    experiment, snapshot = await one.store.get(PLAN.key), one.feed.snapshot
    step = Step(replace(experiment.state, share_ppm=250_000), share_ppm=250_000)
    made = await one.commits.commit(experiment, step, snapshot=snapshot, now=LATER)
    assert made == Experiment(PLAN, step.state, 3, made.created, LATER)
    assert await one.store.get(PLAN.key) == made
    changed = one.feed.snapshot.flags[KEY]
    assert [share.ppm for share in changed.split] == [750_000, 250_000]
    assert changed.revision == snapshot.revision + 1
    assert changed.phase == snapshot.revision + 1
    with pytest.raises(VersionConflict):
        await one.commits.commit(experiment, step, snapshot=snapshot, now=LATER)


async def test_variants_that_have_nothing_leave_the_split(one: Process) -> None:
    three = (*FIVE, SplitShare(VariantKey("v3"), 0))
    current = one.flags.get(KEY)
    third = replace(current.variants[0], key=VariantKey("v3"))
    await one.flags.update(replace(current, variants=(*current.variants, third), split=three))
    experiment = await one.store.get(PLAN.key)
    step = Step(experiment.state, share_ppm=0)
    await one.commits.commit(experiment, step, snapshot=one.feed.snapshot, now=LATER)
    assert one.feed.snapshot.flags[KEY].split == PLAN.split(0)


async def test_a_process_that_lags_behind_takes_no_split_for_one_changed_by_hand(
    client: Redis, environment: str, one: Process
) -> None:
    """It reads the new state beside the old flag: what it makes of that is not stored."""
    configs = RedisConfigStore(client, environment)
    late = await configs.load()
    experiment = await one.store.get(PLAN.key)
    raised = Step(replace(experiment.state, share_ppm=250_000), share_ppm=250_000)
    await one.commits.commit(experiment, raised, snapshot=one.feed.snapshot, now=NOW)

    found = await one.store.get(PLAN.key)
    step = decide(PLAN, found.state, Look(flag_seen(PLAN, late), "not read"), LATER)
    assert step.state.status is Status.PAUSED
    with pytest.raises(RevisionConflict):
        await one.commits.commit(found, step, snapshot=late, now=LATER)
    quiet = Step(replace(found.state, looked=LATER))
    await one.commits.commit(found, quiet, snapshot=late, now=LATER)
    assert (await one.store.get(PLAN.key)).state.status is Status.OBSERVING


async def test_a_request_is_decided_anew_when_others_were_first(
    client: Redis, environment: str, one: Process
) -> None:
    async with process(client, environment) as other:
        abort = asyncio.ensure_future(one.experiments.ask(PLAN.key, Command(Request.ABORT, "anna")))
        splits = [other.flags.update_split(KEY, PLAN.split(n * 10_000)) for n in range(1, 9)]
        await asyncio.gather(*splits)
        aborted = await abort
        assert aborted.state.status is Status.ROLLING_BACK
        (decision,) = await other.store.decisions(PLAN.key, 0, 10)
        past = await RedisConfigStore(client, environment).load_past(Revision(decision.revision))
        assert past.flags[KEY].split == PLAN.split(0)


class Told:
    """A clock that is right once it was read."""

    def __init__(self) -> None:
        self._now = NOW

    async def read(self) -> None:
        self._now = LATER

    def now(self) -> datetime:
        return self._now


async def test_what_people_ask_for_has_the_time_that_controllers_have(one: Process) -> None:
    experiments = Experiments(one.store, one.commits, one.feed, Told())
    plan = replace(PLAN, key=ExperimentKey("chat-v3"))
    assert (await experiments.create(plan)).created == LATER
    aborted = await Experiments(one.store, one.commits, one.feed, Told()).ask(
        PLAN.key, Command(Request.ABORT, "anna")
    )
    assert (aborted.updated, aborted.state.since) == (LATER, LATER)


async def test_what_is_not_confirmed_in_time_says_so(
    client: Redis, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits_module, "COMMIT_SECONDS", 0.2)
    configs = RedisConfigStore(client, environment)
    await configs.commit(FlagChange(Revision(1), KEY, flag()))
    store, feed = RedisExperimentStore(client, environment), ConfigFeed(configs, ignore)
    commits = ExperimentCommits(store, feed)
    nobody_follows = Experiments(store, commits, feed, StoreClock(client))
    with pytest.raises(StoreUnavailable, match=r"not confirmed within 0\.2 s"):
        await nobody_follows.create(PLAN)
    assert await store.load() == {}
