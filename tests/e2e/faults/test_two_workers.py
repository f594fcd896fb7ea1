"""Two workers on one shard at once, neither of which hears of the other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from tests.e2e.calls import apply_flag
from tests.e2e.faults.load import finish, load
from tests.e2e.faults.roles import SECOND_WORKER, SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.tally import await_aggregated, total
from tidegate_server import embedded_store
from tidegate_server.storage.keys import ConfigKeys
from tidegate_server.worker.loop import BEAT_SECONDS


@contextmanager
def forgotten_members(data_dir: Path) -> Iterator[None]:
    """Have the store forget again and again which workers live, so that each serves every shard."""
    done = threading.Event()
    store = Redis(unix_socket_path=str(embedded_store.socket_path(data_dir)))

    def forget() -> None:
        while not done.wait(BEAT_SECONDS / 100):
            store.delete(ConfigKeys("prod").workers)

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        store.close()


def test_they_count_every_event_once(tmp_path: Path) -> None:
    roles = Roles(tmp_path, {"TIDEGATE_SHARDS": "1"})
    with running_roles(roles, STORE, SERVER), forgotten_members(tmp_path):
        apply_flag(roles.address, "shared", v1=50, v2=50)
        roles.start(WORKER, SECOND_WORKER)
        for worker in (WORKER, SECOND_WORKER):
            roles.await_log(worker, "shard_taken")
        with load(roles.address, "shared", 2) as clients:
            for worker in (WORKER, SECOND_WORKER):
                roles.await_log(worker, "another_worker_was_first")
            acknowledged = finish(clients)
        await_aggregated(roles.address, "shared", acknowledged)
    assert total(acknowledged) > 1_000
