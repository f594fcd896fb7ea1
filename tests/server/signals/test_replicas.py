"""What the leading controller tells of replicas."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import generate_latest

from tests.server.domain.experiments.samples import NOW
from tests.server.domain.replicas.samples import POLICY, V2, order, replica
from tests.server.signals.scraping import Samples
from tidegate.model import FlagKey
from tidegate_server.domain.replicas.replica import Failure, Fleet, Replica, ReplicaState, Step
from tidegate_server.signals.controller import note_leadership
from tidegate_server.signals.metrics import registry_of
from tidegate_server.signals.replicas import MOST_FLAGS, REPLICAS, note_replicas


def fleet(*replicas: Replica) -> Fleet:
    return Fleet(NOW, {each.id: each for each in replicas})


FLEET = fleet(
    replica("a"),
    replica("b", failures=(Failure(V2, 2, NOW, "no memory"),)),
    replica("c", "v2", drained=True),
    replica("d", order=order("v2", Step.DRAIN)),
    replica("e", "", ReplicaState.LOADING, order=order("v2")),
    replica("f", "", ReplicaState.FAILED),
    replica("g", "v2", heard=NOW - timedelta(minutes=1)),
    replace(replica("h"), flag=FlagKey("other")),
)


def scrape() -> Samples:
    return Samples(generate_latest(registry_of("controller", "prod", REPLICAS)).decode())


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    note_leadership(leads=False)  # tests of controllers leave behind what they read
    yield
    note_leadership(leads=False)


def test_the_leader_counts_replicas_orders_and_failures() -> None:
    assert scrape().all_of("tidegate_replicas") == {}
    note_replicas(FLEET, POLICY)
    found = scrape()
    assert found.all_of("tidegate_replicas") == {  # by flag, state and variant
        ("chat-model", "ready", "v1"): 2,
        ("chat-model", "drained", "v2"): 1,
        ("chat-model", "drained", "v1"): 1,
        ("chat-model", "loading", "none"): 1,
        ("chat-model", "failed", "none"): 1,
        ("chat-model", "gone", "v2"): 1,
        ("other", "ready", "v1"): 1,
    }
    assert found.all_of("tidegate_replica_orders") == {
        ("chat-model", "drain", "v2"): 1,
        ("chat-model", "load", "v2"): 1,
    }
    assert found.all_of("tidegate_replica_failures") == {("chat-model", "v2"): 1}
    note_leadership(leads=False)
    assert scrape().all_of("tidegate_replicas") == {}


def test_the_number_of_flags_is_bounded() -> None:
    many = [
        replace(replica(f"r{number}"), flag=FlagKey(f"f-{number:04}"))
        for number in range(MOST_FLAGS + 50)
    ]
    note_replicas(fleet(*many), POLICY)
    assert len(scrape().all_of("tidegate_replicas")) == MOST_FLAGS
