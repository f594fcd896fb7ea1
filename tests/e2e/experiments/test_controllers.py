"""Controllers that are killed, frozen and doubled while they run a rollout."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.experiments.rollouts import PLAN, SECOND, Rollout, check_log
from tests.e2e.experiments.traffic import traffic
from tests.e2e.faults.roles import (
    CONTROLLER,
    SECOND_CONTROLLER,
    SERVER,
    STORE,
    WORKER,
    Roles,
    running_roles,
)
from tidegate_server.domain.experiments.plan import AfterLease, Lease, QualityRules
from tidegate_server.domain.experiments.records import Action
from tidegate_server.domain.experiments.state import Status

UNITS_PER_SECOND = 100
LEASE = {"TIDEGATE_LEASE_SECONDS": "2"}


@pytest.fixture
def roles(tmp_path: Path) -> Roles:
    return Roles(tmp_path, dict(LEASE))


def test_a_controller_that_is_killed_goes_on_where_it_was(roles: Roles) -> None:
    with running_roles(roles, STORE, SERVER, WORKER, CONTROLLER):
        rollout = Rollout(roles.address)
        with traffic(roles.address, UNITS_PER_SECOND, [PLAN.flag]):
            rollout.start()
            rollout.until(lambda found: found.state.healthy)
            roles.kill(CONTROLLER)
            roles.start(CONTROLLER)
            ended = rollout.until_end()
        assert ended.state.status is Status.SUCCEEDED
        decisions = rollout.decisions()
    check_log(PLAN, decisions)
    assert [each.decision.action for each in decisions] == [
        Action.START,
        Action.ENTER,
        Action.ADVANCE,
        Action.ENTER,
        Action.PROMOTE,
        Action.FINISH,
    ]


def test_one_that_is_frozen_beyond_its_lease_decides_nothing_when_it_wakes(roles: Roles) -> None:
    with running_roles(roles, STORE, SERVER, WORKER, CONTROLLER):
        rollout = Rollout(roles.address)
        with traffic(roles.address, UNITS_PER_SECOND, [PLAN.flag]):
            rollout.start()
            rollout.until_status(Status.OBSERVING)
            roles.start(SECOND_CONTROLLER)
            roles.await_log(SECOND_CONTROLLER, "controller_started")
            roles.signal(CONTROLLER, signal.SIGSTOP)
            roles.await_log(SECOND_CONTROLLER, '"leads"')
            rollout.until(lambda found: found.state.stage == 1)
            roles.signal(CONTROLLER, signal.SIGCONT)
            roles.await_log(CONTROLLER, "lead_lost")
            ended = rollout.until_end()
        assert ended.state.status is Status.SUCCEEDED
        check_log(PLAN, rollout.decisions())


def test_a_version_that_breaks_goes_back_while_a_controller_is_stopped(roles: Roles) -> None:
    """One that is told to stop hands over at once."""
    with running_roles(roles, STORE, SERVER, WORKER, CONTROLLER, SECOND_CONTROLLER):
        rollout = Rollout(roles.address)
        with traffic(roles.address, UNITS_PER_SECOND, [PLAN.flag]):
            rollout.start(errors=1.0)
            rollout.until_status(Status.OBSERVING)
            leads = [name for name, said in roles.logs().items() if '"leads"' in said]
            roles.signal(leads[0], signal.SIGTERM)
            assert roles.await_end(leads[0]) == 0
            ended = rollout.until_end()
        assert ended.state.status is Status.ROLLED_BACK
        assert ended.state.share_ppm == 0
        check_log(PLAN, rollout.decisions())


def test_without_a_controller_exposure_freezes_and_the_next_one_acts(roles: Roles) -> None:
    plan = replace(
        PLAN,
        quality=QualityRules(silence=2 * SECOND),
        lease=Lease(3 * SECOND, AfterLease.CONTROL),
    )
    with running_roles(roles, STORE, SERVER, WORKER, CONTROLLER):
        rollout = Rollout(roles.address, plan)
        with traffic(roles.address, UNITS_PER_SECOND, [plan.flag]):
            rollout.start()
            rollout.until(lambda found: found.state.healthy)
            roles.kill(CONTROLLER)
        frozen = rollout.until(lambda found: True)
        assert frozen.state.share_ppm > 0
        roles.start(CONTROLLER)
        ended = rollout.until_end()
        assert ended.state.status is Status.ROLLED_BACK
        assert "no healthy evidence for 3s" in ended.state.reason
        check_log(plan, rollout.decisions())
