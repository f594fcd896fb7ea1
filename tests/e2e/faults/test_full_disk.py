"""The store's disk is full for a while."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from redis import Redis

from tests.e2e.calls import apply_flag
from tests.e2e.faults.disks import Disk, mounts_are_allowed, small_disk, small_files
from tests.e2e.faults.load import all_acknowledged, finish, load
from tests.e2e.faults.roles import SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.tally import await_aggregated, total
from tidegate_server import embedded_store

CLIENTS = 2
SECONDS = 60.0
MOUNTS = mounts_are_allowed()
OpenDisk = Callable[[Path], AbstractContextManager[Disk]]


def await_refusal(roles: Roles) -> None:
    """Wait until the store says that it can't write."""
    deadline = time.monotonic() + SECONDS
    with Redis(unix_socket_path=str(embedded_store.socket_path(roles.data_dir))) as store:
        while store.info("persistence")["aof_last_write_status"] != "err":
            assert time.monotonic() < deadline, "the disk was never full"
            time.sleep(0.1)


def stays_and_refuses(roles: Roles, disk: Disk) -> None:
    """With a sync every second the store refuses writes until there is room."""
    await_refusal(roles)
    disk.make_room(roles.running[STORE].pid)


def ends_and_is_started_again(roles: Roles, disk: Disk) -> None:
    """With a sync for every write the store ends, as often as it is started without room."""
    assert roles.await_end(STORE) == 1
    roles.start(STORE)
    assert roles.await_end(STORE) == 1
    disk.make_room(None)
    roles.start(STORE)


@pytest.mark.parametrize(
    ("sync", "survive"),
    [("everysec", stays_and_refuses), ("always", ends_and_is_started_again)],
    ids=["everysec", "always"],
)
@pytest.mark.parametrize(
    "open_disk",
    [
        pytest.param(small_disk, marks=pytest.mark.skipif(not MOUNTS, reason="no mounts here")),
        pytest.param(small_files, marks=[pytest.mark.slow] if MOUNTS else []),
    ],
)
def test_acknowledged_events_are_counted_once(
    tmp_path: Path, open_disk: OpenDisk, sync: str, survive: Callable[[Roles, Disk], None]
) -> None:
    embedded_store.prepare(tmp_path)
    with open_disk(tmp_path / "valkey") as disk:
        command = (*embedded_store.command(tmp_path), "--appendfsync", sync)
        roles = Roles(tmp_path, store_command=lambda: disk.around(command))
        with running_roles(roles, STORE, SERVER, WORKER):
            apply_flag(roles.address, "full", v1=50, v2=50)
            with load(roles.address, "full", CLIENTS) as clients:
                survive(roles, disk)
                all_acknowledged(clients)
                acknowledged = finish(clients)
            await_aggregated(roles.address, "full", acknowledged)
    assert total(acknowledged) > 1_000
