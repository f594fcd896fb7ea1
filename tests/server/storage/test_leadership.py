import asyncio

import pytest
from redis.asyncio import Redis

from tests.server.domain.experiments.samples import NOW, PLAN
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.state import State
from tidegate_server.errors import FencedOff
from tidegate_server.ports import ExperimentCommit, Fence, GateResult, Progress
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.gate_results import RedisGateResults
from tidegate_server.storage.keys import ExperimentKeys
from tidegate_server.storage.leadership import RedisLeadership

PASSED = GateResult(Progress.PASSED, "", NOW)
FAILED = GateResult(Progress.FAILED, "accuracy is 0.7, below 0.9 – “too low”", NOW)


@pytest.fixture
def leadership(client: Redis, environment: str) -> RedisLeadership:
    return RedisLeadership(client, environment)


async def test_one_leads_and_keeps_its_token(leadership: RedisLeadership) -> None:
    fences = [await leadership.acquire("a", 10) for _ in range(3)]
    assert fences == [1, 1, 1]
    assert await leadership.acquire("b", 10) is None
    await leadership.release("b")
    assert await leadership.acquire("b", 10) is None
    await leadership.release("a")
    assert await leadership.acquire("b", 10) == 2
    assert await leadership.acquire("a", 10) is None


async def test_a_lease_ends_by_the_stores_clock(
    leadership: RedisLeadership, client: Redis, environment: str
) -> None:
    assert await leadership.acquire("a", 10) == 1
    await client.hincrby(ExperimentKeys(environment).leader, "ends", -9_000)
    assert await leadership.acquire("b", 10) is None
    await client.hincrby(ExperimentKeys(environment).leader, "ends", -1_001)
    assert await leadership.acquire("b", 10) == 2


async def test_who_comes_back_after_its_lease_gets_a_new_token(
    leadership: RedisLeadership, client: Redis, environment: str
) -> None:
    assert await leadership.acquire("a", 10) == 1
    await client.hincrby(ExperimentKeys(environment).leader, "ends", -10_001)
    assert await leadership.acquire("a", 10) == 2


async def test_of_many_one_leads(leadership: RedisLeadership) -> None:
    asked = [leadership.acquire(f"controller-{number}", 10) for number in range(20)]
    assert sorted(await asyncio.gather(*asked), key=str) == [1, *[None] * 19]


async def test_results_of_gates_are_the_leaders(
    leadership: RedisLeadership, client: Redis, environment: str
) -> None:
    gates = RedisGateResults(client, environment)
    store = RedisExperimentStore(client, environment)
    await store.commit(ExperimentCommit(Experiment(PLAN, State(), 1, NOW, NOW)))
    assert await gates.load(PLAN.key) == {}
    fence = await leadership.acquire("a", 10)
    assert fence is not None
    await gates.note(PLAN.key, "health", FAILED, fence)
    await gates.note(PLAN.key, "health", PASSED, fence)
    await gates.note(PLAN.key, "evaluation", FAILED, fence)
    await leadership.release("a")
    assert await leadership.acquire("b", 10)
    with pytest.raises(FencedOff, match="of 'health' of 'chat-v2' counts no more"):
        await gates.note(PLAN.key, "health", FAILED, fence)
    assert await gates.load(PLAN.key) == {"health": PASSED, "evaluation": FAILED}


async def test_of_an_experiment_that_is_gone_no_result_is_kept(
    client: Redis, environment: str
) -> None:
    gates = RedisGateResults(client, environment)
    await gates.note(PLAN.key, "health", PASSED, Fence(0))
    assert await gates.load(PLAN.key) == {}
