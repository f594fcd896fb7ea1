"""A worker that is frozen for longer than any lease, while a second one takes over."""

import signal
import threading
import time
from pathlib import Path

from tests.e2e.calls import apply_flag
from tests.e2e.faults.load import all_acknowledged, finish, load
from tests.e2e.faults.roles import SECOND_WORKER, SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.tally import await_aggregated, joined, total
from tidegate_server.storage.members import SILENCE

LONGER_THAN_A_LEASE = 2 * SILENCE.total_seconds()
CLIENTS = 2


def test_what_it_held_is_taken_over_and_counted_once(tmp_path: Path) -> None:
    roles = Roles(tmp_path)
    with running_roles(roles, STORE, SERVER, WORKER, SECOND_WORKER):
        apply_flag(roles.address, "frozen", v1=50, v2=50)
        with load(roles.address, "frozen", CLIENTS) as clients:
            all_acknowledged(clients)
            roles.signal(WORKER, signal.SIGSTOP)
            began = time.monotonic()
            before = finish(clients)
        await_aggregated(roles.address, "frozen", before)
        threading.Event().wait(began + LONGER_THAN_A_LEASE - time.monotonic())
        with load(roles.address, "frozen", CLIENTS, "late") as clients:
            all_acknowledged(clients)
            roles.signal(WORKER, signal.SIGCONT)
            all_acknowledged(clients)
            after = finish(clients)
        await_aggregated(roles.address, "frozen", joined([before, after]))
    assert total(before) > 1_000
