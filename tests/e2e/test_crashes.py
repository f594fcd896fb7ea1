"""kill -9 of a role of `tidegate up`, which starts it again, under load."""

import pytest

from tests.e2e.faults.load import all_acknowledged, finish, load
from tests.e2e.stack import Stack
from tests.e2e.tally import await_aggregated, total


@pytest.mark.parametrize("role", ["server", "worker", "store"])
def test_every_acknowledged_event_is_counted_once(own_stack: Stack, role: str) -> None:
    own_stack.apply_flag("crash", v1=50, v2=50)
    first_pid = own_stack.pid(role)
    with load(own_stack.address, "crash", 2) as clients:
        before = all_acknowledged(clients)
        own_stack.kill(role)
        own_stack.read_until(f"{role}: runs again as process")
        all_acknowledged(clients)
        acknowledged = finish(clients)
    await_aggregated(own_stack.address, "crash", acknowledged)
    assert total(acknowledged) > total(before) > 0
    assert own_stack.pid(role) != first_pid
