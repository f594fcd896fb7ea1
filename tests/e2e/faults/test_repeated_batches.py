"""A client that sends every batch three times."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from tests.e2e.calls import apply_flag
from tests.e2e.faults.batches import EVENTS, event_service, requests
from tests.e2e.faults.roles import SECOND_WORKER, SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.tally import await_aggregated, joined

BATCHES = 300
TIMES = 3


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with running_roles(Roles(tmp_path), STORE, SERVER, WORKER, SECOND_WORKER) as roles:
        yield roles.address


def test_one_after_the_other(address: str) -> None:
    made = list(islice(requests(apply_flag(address, "repeated", v1=50, v2=50)), BATCHES))
    with event_service(address) as events:
        for request, _ in made:
            answers = [events.ReportEvents(request) for _ in range(TIMES)]
            assert [answer.duplicate for answer in answers] == [False, True, True]
            assert {answer.accepted_count for answer in answers} == {EVENTS}
    await_aggregated(address, "repeated", joined(tally for _, tally in made))


def test_at_once(address: str) -> None:
    made = list(islice(requests(apply_flag(address, "repeated", v1=50, v2=50)), BATCHES))
    with event_service(address) as events, ThreadPoolExecutor(2 * TIMES) as pool:
        sent = [[pool.submit(events.ReportEvents, each) for _ in range(TIMES)] for each, _ in made]
        for calls in sent:
            assert sorted(call.result().duplicate for call in calls) == [False, True, True]
    await_aggregated(address, "repeated", joined(tally for _, tally in made))
