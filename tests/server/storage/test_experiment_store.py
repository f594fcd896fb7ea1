"""Experiments in a real store: one commit for state, split, decisions and look."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from tests.server.domain.experiments.samples import NOW, PLAN
from tests.server.storage.samples import flag
from tidegate.model import FlagChange, FlagKey, Revision
from tidegate_server.analysis.decision import Verdict
from tidegate_server.domain.experiments.plan import ExperimentKey, Notification, Plan
from tidegate_server.domain.experiments.records import (
    Action,
    Decision,
    Experiment,
    NumberedDecision,
    Seen,
)
from tidegate_server.domain.experiments.state import ACTIVE, State, Status
from tidegate_server.errors import (
    FencedOff,
    InUse,
    NotFound,
    RevisionConflict,
    TidegateServerError,
    VersionConflict,
)
from tidegate_server.ports import ExperimentCommit, Fence, GateResult, Message, Progress
from tidegate_server.storage import experiment_store
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.gate_results import RedisGateResults
from tidegate_server.storage.keys import ExperimentKeys
from tidegate_server.storage.leadership import RedisLeadership
from tidegate_server.storage.outbox import RedisOutbox

KEY = PLAN.key
RUNNING = State(Status.OBSERVING, share_ppm=50_000, attempt=1, started=NOW)
OTHER = replace(PLAN, key=ExperimentKey("chat-v3"))


@pytest.fixture
def store(client: Redis, environment: str) -> RedisExperimentStore:
    return RedisExperimentStore(client, environment)


@pytest.fixture
def configs(client: Redis, environment: str) -> RedisConfigStore:
    return RedisConfigStore(client, environment)


@pytest.fixture
def outbox(client: Redis, environment: str) -> RedisOutbox:
    return RedisOutbox(client, environment)


def experiment(version: int = 1, state: State | None = None, plan: Plan = PLAN) -> Experiment:
    return Experiment(plan, state or State(), version, NOW, NOW + timedelta(seconds=version))


def decision(action: Action = Action.START, why: str = "asked for by anna") -> Decision:
    return Decision(NOW, action, "anna", why, State(), RUNNING, "canary", 1)


def seen(seconds: int = 0) -> Seen:
    time = NOW + timedelta(seconds=seconds)
    return Seen(time, "canary", 50_000, Verdict.PASS, ("all is well",), 400.0, 0.2, 0.7)


def split_change(revision: int) -> FlagChange:
    return FlagChange(Revision(revision), FlagKey("chat-model"), flag("chat-model", revision))


async def commit(store: RedisExperimentStore, each: Experiment, *decisions: Decision) -> None:
    await store.commit(ExperimentCommit(each, decisions=decisions))


async def test_an_environment_begins_without_experiments(store: RedisExperimentStore) -> None:
    assert await store.load() == {}
    assert await store.decisions(KEY, 0, 10) == []
    assert await store.looks(KEY, 0, 10) == []
    with pytest.raises(NotFound, match="experiment 'chat-v2' is not known; known are none"):
        await store.get(KEY)


async def test_a_step_is_stored_as_a_whole(
    store: RedisExperimentStore, configs: RedisConfigStore
) -> None:
    await configs.commit(split_change(1))
    await commit(store, experiment(plan=OTHER))
    await commit(store, experiment())
    started = experiment(2, RUNNING)
    await store.commit(
        ExperimentCommit(started, split_change(2), [decision()], Fence(0), seen=seen())
    )
    assert await store.get(KEY) == started
    assert list(await store.load()) == [KEY, OTHER.key]
    assert await store.decisions(KEY, 0, 10) == [NumberedDecision(1, decision(), 2)]
    assert await store.looks(KEY, 0, 10) == [seen()]
    snapshot = await configs.load()
    assert snapshot.revision == 2
    assert snapshot.flags[FlagKey("chat-model")] == flag("chat-model", 2)
    past = await configs.load_past(Revision(1))
    assert past.flags[FlagKey("chat-model")] == flag("chat-model", 1)
    with pytest.raises(NotFound, match="did you mean 'chat-v2'"):
        await store.get(ExperimentKey("chat-v22"))


async def test_decisions_are_numbered_without_gaps(store: RedisExperimentStore) -> None:
    await commit(store, experiment(), decision(why="1"), decision(why="2"))
    await commit(store, experiment(2))
    await commit(store, experiment(3), decision(why="3"))
    logged = await store.decisions(KEY, 0, 10)
    assert [(each.number, each.decision.why) for each in logged] == [(1, "1"), (2, "2"), (3, "3")]
    assert [each.number for each in await store.decisions(KEY, 1, 1)] == [2]
    assert await store.decisions(KEY, 3, 10) == []


REFUSED = [
    pytest.param(experiment(2), {}, VersionConflict, "at version 2, not at version 1", id="older"),
    pytest.param(experiment(4), {}, VersionConflict, "at version 2, not at version 3", id="newer"),
    pytest.param(experiment(1), {}, VersionConflict, "2, and was to be new", id="exists"),
    pytest.param(
        experiment(2, plan=replace(PLAN, key=ExperimentKey("gone"))),
        {},
        VersionConflict,
        "is gone",
        id="gone",
    ),
    pytest.param(
        experiment(3), {"fence": Fence(7)}, FencedOff, "since token 7 was given", id="fence"
    ),
    pytest.param(
        experiment(1, RUNNING, OTHER), {}, InUse, "held by experiment 'chat-v2'", id="held"
    ),
    pytest.param(
        experiment(3),
        {"change": split_change(3)},
        RevisionConflict,
        "revision 1, not 2",
        id="ahead",
    ),
    pytest.param(
        experiment(3),
        {"revision": Revision(2)},
        RevisionConflict,
        "revision 1, not 2",
        id="decided by another configuration",
    ),
    pytest.param(
        experiment(3), {"change": split_change(1)}, RevisionConflict, "revision 1, not 0", id="late"
    ),
]


@pytest.mark.parametrize(("each", "fields", "error", "words"), REFUSED)
async def test_what_is_refused_changes_nothing(
    store: RedisExperimentStore,
    configs: RedisConfigStore,
    client: Redis,
    environment: str,
    each: Experiment,
    fields: dict[str, object],
    error: type[TidegateServerError],
    words: str,
) -> None:
    await configs.commit(split_change(1))
    await commit(store, experiment())
    await commit(store, experiment(2, RUNNING))
    before = await contents(client, environment)
    notifying = replace(
        each, plan=replace(each.plan, notifications=(Notification("https://a.example"),))
    )
    step = ExperimentCommit(notifying, decisions=[decision()], seen=seen(), **fields)  # type: ignore[arg-type]
    with pytest.raises(error, match=words):
        await store.commit(step)
    assert await contents(client, environment) == before


async def contents(client: Redis, environment: str) -> dict[bytes, bytes | None]:
    """Everything that the store holds of an environment."""
    keys = sorted([key async for key in client.scan_iter(f"{{tidegate:{environment}}}*")])
    return {key: await client.dump(key) for key in keys}


async def test_of_many_steps_at_once_one_is_stored(store: RedisExperimentStore) -> None:
    steps = [commit(store, experiment(), decision(why=str(number))) for number in range(20)]
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    assert outcomes.count(None) == 1
    assert sum(isinstance(each, VersionConflict) for each in outcomes) == 19
    assert len(await store.decisions(KEY, 0, 100)) == 1


async def test_only_an_active_experiment_holds_its_flag(store: RedisExperimentStore) -> None:
    await commit(store, experiment())
    await commit(store, experiment(plan=OTHER))
    for version, status in enumerate(sorted(ACTIVE), start=2):
        await commit(store, experiment(version, State(status)))
        with pytest.raises(InUse):
            await commit(store, experiment(2, RUNNING, OTHER))
    await commit(store, experiment(version + 1, State(Status.ROLLED_BACK)))
    await commit(store, experiment(2, RUNNING, OTHER))
    with pytest.raises(InUse, match="by experiment 'chat-v3'"):
        await commit(store, experiment(version + 2, RUNNING))
    await commit(store, experiment(version + 2, State(Status.ABORTED)))
    with pytest.raises(InUse, match="by experiment 'chat-v3'"):
        await commit(store, experiment(version + 3, RUNNING))


async def test_of_two_that_start_at_once_one_gets_the_flag(store: RedisExperimentStore) -> None:
    starts = [commit(store, experiment(1, RUNNING, plan)) for plan in (PLAN, OTHER)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(each) for each in outcomes if each] == [InUse]


async def test_a_decision_is_queued_for_whom_it_concerns(
    store: RedisExperimentStore, outbox: RedisOutbox
) -> None:
    told = (
        Notification("https://all.example"),
        Notification("https://bad.example", actions=(Action.ROLL_BACK, Action.ABORT)),
        Notification("https://good.example", actions=(Action.PROMOTE,)),
    )
    plan = replace(PLAN, notifications=told)
    await commit(store, experiment(plan=plan), decision(Action.START), decision(Action.ROLL_BACK))
    queued = await outbox.pending(10)
    assert [(each.experiment, each.number, each.target) for each in queued] == [
        (KEY, 1, 0),
        (KEY, 2, 0),
        (KEY, 2, 1),
    ]
    assert await outbox.pending(1) == queued[:1]
    for _ in range(2):
        await outbox.done(queued[1])
    assert await outbox.pending(10) == [queued[0], queued[2]]


async def test_looks_are_bounded_and_found_by_time(
    store: RedisExperimentStore, client: Redis, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_store, "KEPT_LOOKS", 10)
    for number in range(1, 251):
        await store.commit(ExperimentCommit(experiment(number), seen=seen(number)))
    assert await client.xlen(ExperimentKeys(environment).looks(KEY)) < 150
    after_ms = 1_000 * int((NOW + timedelta(seconds=247)).timestamp())
    assert await store.looks(KEY, after_ms, 10) == [seen(248), seen(249), seen(250)]


async def test_a_look_by_a_clock_that_was_set_back_is_kept(store: RedisExperimentStore) -> None:
    for version, seconds in enumerate([10, 10, 3], start=1):
        await store.commit(ExperimentCommit(experiment(version), seen=seen(seconds)))
    assert await store.looks(KEY, 0, 10) == [seen(10), seen(10), seen(3)]


async def test_deleting_frees_everything(
    store: RedisExperimentStore, outbox: RedisOutbox, client: Redis, environment: str
) -> None:
    plan = replace(PLAN, notifications=(Notification("https://all.example"),))
    other = replace(plan, key=OTHER.key, flag=FlagKey("other"))
    gates = RedisGateResults(client, environment)
    for each in (plan, other):
        await store.commit(
            ExperimentCommit(experiment(1, RUNNING, each), decisions=[decision()], seen=seen())
        )
        await gates.note(each.key, "gate", GateResult(Progress.PASSED, "", NOW), Fence(0))
    with pytest.raises(VersionConflict, match="at version 1, not at version 2"):
        await store.delete(KEY, 2)
    await store.delete(KEY, 1)
    with pytest.raises(NotFound, match="no experiment 'chat-v2'"):
        await store.delete(KEY, 1)
    assert list(await store.load()) == [OTHER.key]
    assert [each.experiment for each in await outbox.pending(10)] == [OTHER.key]
    assert not [each for each in await contents(client, environment) if each.endswith(b"chat-v2")]
    await store.delete(OTHER.key, 1)
    keys = ExperimentKeys(environment)
    assert await client.xlen(keys.outbox) == 0
    left = {keys.count.encode(), keys.changes.encode(), keys.outbox.encode()}
    assert set(await contents(client, environment)) == left
    await commit(store, experiment(1, RUNNING, OTHER))


async def test_changes_wake_those_who_follow(store: RedisExperimentStore) -> None:
    await commit(store, experiment())
    async with aclosing(store.changes()) as changes:
        assert await anext(changes) is None
        waiting = asyncio.create_task(next_key(changes))
        await commit(store, experiment(2))
        assert await waiting == KEY
        await commit(store, experiment(plan=OTHER))
        await store.delete(KEY, 2)
        assert [await next_key(changes) for _ in range(2)] == [OTHER.key, KEY]
        assert await anext(changes) is None


async def test_who_missed_changes_is_told_so(
    store: RedisExperimentStore, client: Redis, environment: str
) -> None:
    keys = ExperimentKeys(environment)
    async with aclosing(store.changes()) as changes:
        await anext(changes)
        for version in range(1, 4):
            await commit(store, experiment(version))
        await client.xtrim(keys.changes, maxlen=1, approximate=False)
        with pytest.raises(RevisionConflict, match="no longer kept"):
            await next_key(changes)
    async with aclosing(store.changes()) as changes:
        await anext(changes)
        await client.delete(keys.count, keys.changes)
        with pytest.raises(RevisionConflict, match="was set back"):
            await next_key(changes)


async def next_key(changes: AsyncIterator[ExperimentKey | None]) -> ExperimentKey:
    while (found := await anext(changes)) is None:
        pass
    return found


async def test_environments_are_apart(client: Redis, store: RedisExperimentStore) -> None:
    await commit(store, experiment(1, RUNNING))
    other = RedisExperimentStore(client, "another")
    assert await other.load() == {}


async def test_a_controller_that_was_fenced_off_commits_nothing(
    store: RedisExperimentStore, client: Redis, environment: str
) -> None:
    leadership = RedisLeadership(client, environment)
    first = await leadership.acquire("a", 0.001)
    assert first is not None
    await commit(store, experiment())
    await store.commit(ExperimentCommit(experiment(2), fence=first))
    while (second := await leadership.acquire("b", 10)) is None:
        pass
    with pytest.raises(FencedOff):
        await store.commit(ExperimentCommit(experiment(3), fence=first))
    await store.commit(ExperimentCommit(experiment(3), fence=second))
    await commit(store, experiment(4))


async def test_messages_name_their_decision(
    store: RedisExperimentStore, outbox: RedisOutbox
) -> None:
    plan = replace(PLAN, notifications=(Notification("https://all.example"),))
    await commit(store, experiment(plan=plan), decision())
    (message,) = await outbox.pending(10)
    assert message == Message(message.id, KEY, 1, 0)
    (numbered,) = await store.decisions(message.experiment, message.number - 1, 1)
    assert numbered.number == message.number


async def test_a_rollback_waits_for_no_memory(
    store: RedisExperimentStore, configs: RedisConfigStore, client: Redis, environment: str
) -> None:
    leadership = RedisLeadership(client, environment)
    await commit(store, experiment(1, RUNNING))
    await client.config_set("maxmemory", "1")
    try:
        fence = await leadership.acquire("a", 10)
        back = experiment(2, State(Status.ROLLED_BACK))
        step = ExperimentCommit(back, split_change(1), [decision(Action.ROLL_BACK)], fence)
        await store.commit(step)
        await store.delete(KEY, 2)
    finally:
        await client.config_set("maxmemory", "0")
    assert (await configs.load()).revision == 1
