"""No worker runs and the stream is full: clients are told to wait, and do within their bounds."""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import grpc
import pytest

import tidegate
from tests.e2e.calls import apply_flag
from tests.e2e.faults.batches import event_service, requests
from tests.e2e.faults.load import track
from tests.e2e.faults.roles import SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.tally import DROPPED, POLL_SECONDS, Tally, aggregated, await_aggregated
from tidegate.delivery import RETRY_AFTER
from tidegate.v1 import flag_pb2

FLAG = "full"
SECONDS = 60.0
MORE_THAN_A_MEGABYTE = 1_000
"""Batches of 200 events each."""


@pytest.fixture
def roles(tmp_path: Path) -> Iterator[Roles]:
    settings = {"TIDEGATE_SHARDS": "1", "TIDEGATE_MAX_STREAM_MB": "1"}
    with running_roles(Roles(tmp_path, settings), STORE, SERVER) as roles:
        yield roles


def fill(address: str, flag: flag_pb2.Flag) -> Tally:
    """Send batches until one is refused, for now, with the time to wait; return what was stored."""
    stored = Tally()

    def send_all() -> None:
        with event_service(address) as events:
            for request, tally in islice(requests(flag), MORE_THAN_A_MEGABYTE):
                events.ReportEvents(request)
                stored.update(tally)

    with pytest.raises(grpc.RpcError) as refusal:
        send_all()
    error = refusal.value
    assert isinstance(error, grpc.Call)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "its slowest reader, 'fold', is" in (error.details() or "")
    assert 500 <= int(dict(error.trailing_metadata() or ())[RETRY_AFTER]) <= 1_500
    assert stored
    return stored


def test_what_waits_in_the_queue_is_counted_later(roles: Roles) -> None:
    tally = fill(roles.address, apply_flag(roles.address, FLAG, v1=50, v2=50))
    with tidegate.Client(roles.address) as client:
        assert client.wait_ready(SECONDS)
        track(client, FLAG, "unit", range(10_000), tally)
        assert not client.flush(2)
        assert client.stats().acknowledged == client.stats().dropped == 0
        roles.start(WORKER)
        assert client.flush(SECONDS)
        assert client.stats().dropped == 0
    await_aggregated(roles.address, FLAG, tally)


def by_variant(tally: Tally) -> Counter[str]:
    """Return how many events of each variant there are, be they counted or dropped."""
    events = Counter[str]()
    for (variant, _, what), figure in tally.items():
        events[variant] += figure if what == "count" else 0
    return events


def test_what_the_queue_has_no_room_for_is_reported_as_dropped(roles: Roles) -> None:
    tally = fill(roles.address, apply_flag(roles.address, FLAG, v1=50, v2=50))
    with tidegate.Client(roles.address, queue_size=2_000) as client:
        assert client.wait_ready(SECONDS)
        track(client, FLAG, "unit", range(10_000), tally)
        roles.start(WORKER)
        assert client.flush(SECONDS)
        dropped = client.stats().dropped
    assert dropped > 10_000
    while by_variant(found := aggregated(roles.address, FLAG)) < by_variant(tally):
        time.sleep(POLL_SECONDS)
    assert by_variant(found) == by_variant(tally)
    assert sum(found[variant, DROPPED, "count"] for variant in ("v1", "v2")) == dropped
