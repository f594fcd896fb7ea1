from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.server.domain.experiments.samples import NOW
from tests.server.domain.replicas.samples import BEAT, POLICY, V1, V2, order, replica
from tidegate_server.domain.replicas.checks import check_replica, check_report
from tidegate_server.domain.replicas.replica import (
    Failure,
    ReplicaState,
    Report,
    Step,
    change_in_words,
    problem_in_words,
)
from tidegate_server.errors import InvalidField


def test_who_was_silent_for_three_intervals_is_gone() -> None:
    one = replica(heard=NOW - 3 * BEAT)
    assert POLICY.lives(one, NOW)
    assert not POLICY.lives(one, NOW + timedelta(milliseconds=1))


def test_what_takes_traffic() -> None:
    assert replica().takes_traffic
    assert not replica(variant="").takes_traffic
    assert not replica(drained=True).takes_traffic
    assert not replica(order=order()).takes_traffic
    assert not any(replica(state=state).takes_traffic for state in ReplicaState if state != "ready")


def test_a_variant_that_failed_rests_longer_each_time_and_the_others_do_not() -> None:
    cool_off = POLICY.cool_off
    for tries, rest in [
        (1, cool_off),
        (2, 2 * cool_off),
        (3, 4 * cool_off),
        (50, timedelta(hours=1)),
    ]:
        one = replica(failures=(Failure(V2, tries, NOW, "broken"),))
        assert POLICY.may_load(one, V1, NOW)
        assert not POLICY.may_load(one, V2, NOW + rest - timedelta(seconds=1))
        assert POLICY.may_load(one, V2, NOW + rest)
    patient = replace(POLICY, cool_off=timedelta(hours=3))
    failed = replica(failures=(Failure(V2, 1, NOW, "broken"),))
    assert not patient.may_load(failed, V2, NOW + timedelta(hours=2))


def test_words() -> None:
    assert change_in_words(replica()) == ""
    assert change_in_words(replica(order=order("v2", Step.DRAIN))) == "drains before it loads v2"
    assert change_in_words(replica(order=order("v2", Step.LOAD))) == "loads v2"
    failed = (Failure(V2, 2, NOW, "no memory"), Failure(V1, 1, NOW - BEAT, "no file"))
    assert problem_in_words(replica()) == ""
    said = problem_in_words(replica(problem="hot", failures=failed))
    assert said == "hot; v1: no file; v2: no memory"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "A"}, "replica.id: 'A' is not a valid name"),
        ({"flag": ""}, "replica.flag_key: '' is not a valid name"),
        ({"address": ""}, "replica.address: has 0 characters"),
        ({"address": "a b"}, "replica.address: 'a b' has spaces"),
        ({"capacity": -1}, "replica.capacity: -1 is out of range"),
        ({"driver_url": "ftp://x"}, "replica.driver_url: 'ftp://x' is not an http or https URL"),
        ({"driver_url": "http://"}, "replica.driver_url: 'http://' is not an http or https URL"),
        ({"driver_url": "http://x", "fixed": True}, "replica.driver_url: is given, but a fixed"),
        ({"fixed": True, "report": Report(ReplicaState.READY)}, "replica.variant: is empty, but"),
        ({"report": Report(ReplicaState.READY, V1, -1.0)}, "replica.load: -1.0 is out of range"),
        ({"report": Report(ReplicaState.READY, V1, float("nan"))}, "replica.load: nan is out"),
        (
            {"report": Report(ReplicaState.FAILED, V1, 0.0, "x" * 1_001)},
            "replica.problem: has 1,001",
        ),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    check_replica(replica())
    with pytest.raises(InvalidField) as caught:
        check_replica(replace(replica(), **change))
    assert str(caught.value).startswith(message)


def test_a_wrong_heartbeat_is_named_without_the_replica() -> None:
    with pytest.raises(InvalidField, match=r"^load: inf is out of range"):
        check_report(Report(ReplicaState.READY, V1, float("inf")))
