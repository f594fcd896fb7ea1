from datetime import timedelta
from typing import Any

import pytest

from tests.server.domain.experiments.samples import NOW
from tests.server.domain.replicas.samples import BEAT, POLICY, V1, V2, order, replica
from tidegate_server.domain.replicas.progress import Driven, progressed
from tidegate_server.domain.replicas.replica import Failure, Replica, ReplicaState, Step

LONG = timedelta(minutes=30)
LOADED: dict[str, Any] = {"variant": "v2", "load": 0.0, "order": order(ago=BEAT)}


def after(one: Replica, driven: Driven | None = None) -> Replica:
    return progressed(one, driven, POLICY, NOW)


def draining(ago: timedelta, **more: Any) -> Replica:
    return replica(order=order("v2", Step.DRAIN, ago), **more)


def test_a_drained_replica_is_told_to_load() -> None:
    told = order("v2", Step.LOAD)
    assert after(draining(BEAT, load=0.0)).order == told
    assert after(draining(POLICY.drain, load=0.7)).order == told
    assert after(draining(timedelta(), state=ReplicaState.FAILED)).order == told


def test_until_then_it_drains() -> None:
    for still in (draining(BEAT - timedelta(seconds=1), load=0.0), draining(BEAT, load=0.1)):
        assert after(still) == still


def test_it_serves_once_it_says_so() -> None:
    assert after(replica(**LOADED)).order is None
    for not_yet in (
        replica(**LOADED | {"variant": "v1"}),
        replica(**LOADED | {"state": ReplicaState.LOADING}),
        replica(**LOADED | {"order": order()}),
    ):
        assert after(not_yet) == not_yet


def test_one_with_a_driver_serves_once_its_driver_says_so_too() -> None:
    driven = replica(**LOADED, driver_url="http://x")
    assert after(driven) == driven
    assert after(driven, Driven()) == driven
    assert after(driven, Driven(healthy=True)).order is None


def test_a_success_forgets_the_failure_and_no_other() -> None:
    mine, other = Failure(V2, 3, NOW - LONG, "x"), Failure(V1, 1, NOW - LONG, "y")
    assert after(replica(**LOADED, failures=(mine, other))).failures == (other,)
    assert after(replica(variant="v2", failures=(mine, other))).failures == (other,)


@pytest.mark.parametrize(
    ("one", "driven", "problem"),
    [
        (replica(order=order()), Driven(problem="507 from the driver"), "507 from the driver"),
        (replica(order=order(ago=BEAT), registered=NOW), None, "it started anew while it loaded"),
        (replica(order=order(ago=BEAT), heard=NOW - 4 * BEAT), None, "it fell silent"),
        (replica(order=order(ago=POLICY.load)), None, "was not served within 10m"),
        (
            replica(order=order(ago=2 * BEAT), state=ReplicaState.FAILED, problem="no memory"),
            None,
            "no memory",
        ),
        (
            replica(order=order(ago=2 * BEAT), state=ReplicaState.FAILED),
            None,
            "it failed, and did not say why",
        ),
    ],
)
def test_what_goes_wrong_is_remembered(one: Replica, driven: Driven | None, problem: str) -> None:
    failed = after(one, driven)
    assert failed.order is None
    assert failed.failures == (Failure(V2, 1, NOW, problem),)
    assert after(failed) == failed


def test_tries_are_counted() -> None:
    before = (Failure(V2, 2, NOW - LONG, "x"), Failure(V1, 1, NOW - LONG, "y"))
    failed = after(replica(order=order(), failures=before), Driven(problem="z"))
    assert set(failed.failures) == {Failure(V2, 3, NOW, "z"), before[1]}


def test_a_failure_from_before_the_order_is_none_of_its() -> None:
    repaired = replica(order=order(ago=BEAT), state=ReplicaState.FAILED, problem="as before")
    assert after(repaired) == repaired


def test_an_order_is_taken_back_from_who_is_drained_leaves_or_was_only_draining() -> None:
    for one in (
        replica(order=order(), drained=True),
        replica(order=order(), state=ReplicaState.DRAINING),
        draining(BEAT, heard=NOW - 4 * BEAT),
    ):
        taken = after(one)
        assert taken.order is None
        assert taken.failures == ()
