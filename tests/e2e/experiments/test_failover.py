"""Fail-overs of the store while controllers run a rollout: Sentinels promote a replica."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.experiments.rollouts import PLAN, Rollout, check_log
from tests.e2e.experiments.traffic import traffic
from tests.e2e.faults.roles import (
    CONTROLLER,
    SECOND_CONTROLLER,
    SERVER,
    WORKER,
    Roles,
    running_roles,
)
from tests.e2e.faults.sentinels import Sentinels, running_sentinels
from tidegate_server.domain.experiments.records import Action
from tidegate_server.domain.experiments.state import Status

UNITS_PER_SECOND = 100
WHOLE = [
    Action.START,
    Action.ENTER,
    Action.ADVANCE,
    Action.ENTER,
    Action.PROMOTE,
    Action.FINISH,
]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Sentinels]:
    with running_sentinels(tmp_path) as stores:
        yield stores


@pytest.fixture
def roles(tmp_path: Path, stores: Sentinels) -> Roles:
    settings = {
        "TIDEGATE_REDIS_URL": stores.url,
        "TIDEGATE_WAIT_REPLICAS": "1",
        "TIDEGATE_LEASE_SECONDS": "2",
    }
    return Roles(tmp_path / "roles", settings)


def test_primaries_that_are_killed_lose_no_decision(roles: Roles, stores: Sentinels) -> None:
    with running_roles(roles, SERVER, WORKER, CONTROLLER, SECOND_CONTROLLER):
        rollout = Rollout(roles.address)
        with traffic(roles.address, UNITS_PER_SECOND, [PLAN.flag]):
            rollout.start()
            rollout.until_status(Status.OBSERVING)
            before = rollout.decisions()
            first = stores.primary()
            stores.kill(first)
            second = stores.await_other_primary(first)
            stores.start_replica(first, second)
            stores.await_replicas()
            rollout.until(lambda found: found.state.stage == 1)
            between = rollout.decisions()
            stores.kill(second)
            ended = rollout.until_end()
        assert ended.state.status is Status.SUCCEEDED
        log = rollout.decisions()
        assert rollout.treatment_ppm() == ended.state.share_ppm
    check_log(PLAN, log)
    assert log[: len(between)] == between
    assert log[: len(before)] == before
    assert [each.decision.action for each in log if each.decision.action in WHOLE] == WHOLE


def test_a_primary_that_comes_back_is_no_longer_obeyed(roles: Roles, stores: Sentinels) -> None:
    """It stood still, and woke up believing itself the primary, with the connections it had."""
    with running_roles(roles, SERVER, WORKER, CONTROLLER, SECOND_CONTROLLER):
        rollout = Rollout(roles.address)
        with traffic(roles.address, UNITS_PER_SECOND, [PLAN.flag]):
            rollout.start(errors=1.0)
            rollout.until_status(Status.OBSERVING)
            before = rollout.decisions()
            assert Action.ROLL_BACK not in [each.decision.action for each in before]
            first = stores.primary()
            stores.signal(first, signal.SIGSTOP)
            stores.await_other_primary(first)
            stores.signal(first, signal.SIGCONT)
            ended = rollout.until_end()
        assert ended.state.status is Status.ROLLED_BACK
        log = rollout.decisions()
        assert rollout.treatment_ppm() == 0
    check_log(PLAN, log)
    assert log[: len(before)] == before
