"""A connection that is cut in the middle of a request, or of a reply."""

import asyncio
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

import tidegate
from tests.e2e.calls import apply_flag
from tests.e2e.faults.load import track
from tests.e2e.faults.proxy import Cut, CuttingProxy, Direction, cutting_proxy
from tests.e2e.faults.roles import SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.tally import Tally, await_aggregated
from tidegate_server import embedded_store

SECONDS = 30.0
BURST = 200
"""Assignments whose outcomes make a request of some 12 KB, with a reply of some 50 bytes."""

TO_SERVER = [Cut(Direction.REQUEST, after) for after in (0, 9, 30, 1_000, 8_000, 11_000)]
TO_SERVER += [Cut(Direction.REPLY, after) for after in (0, 1, 9, 25, 40)]


def cuts_to_store(marker: bytes) -> list[Cut]:
    """Return cuts within a script's arguments, and within its reply of some bytes."""
    return [Cut(Direction.REQUEST, after, marker) for after in (1, 200, 5_000)] + [
        Cut(Direction.REPLY, after, marker) for after in range(4)
    ]


def load_under(cuts: Sequence[Cut], proxy: CuttingProxy, address: str, flag: str) -> Tally:
    """Track bursts, and have them acknowledged, until each cut has happened."""
    tally, bursts = Tally(), count()
    with tidegate.Client(address, flush_interval=0.05) as client:
        assert client.wait_ready(SECONDS)
        for cut in cuts:
            proxy.order(cut)
            while not proxy.was_cut.is_set():
                begin = BURST * next(bursts)
                track(client, flag, "unit", range(begin, begin + BURST), tally)
                assert client.flush(SECONDS)
        assert client.stats().dropped == 0
    return tally


def test_between_client_and_server(tmp_path: Path) -> None:
    with running_roles(Roles(tmp_path), STORE, SERVER, WORKER) as roles:
        apply_flag(roles.address, "cuts", v1=50, v2=50)
        host, port = roles.address.split(":")
        with cutting_proxy(lambda: asyncio.open_connection(host, int(port))) as proxy:
            acknowledged = load_under(TO_SERVER, proxy, proxy.address, "cuts")
        await_aggregated(roles.address, "cuts", acknowledged)


@pytest.mark.parametrize(
    ("role", "marker"), [(SERVER, b":stream"), (WORKER, b"EVALSHA")], ids=["append", "commit"]
)
def test_between_a_role_and_the_store(tmp_path: Path, role: str, marker: bytes) -> None:
    roles, socket = Roles(tmp_path), embedded_store.socket_path(tmp_path)
    with cutting_proxy(lambda: asyncio.open_unix_connection(socket)) as proxy:
        roles.redis_urls[role] = f"redis://{proxy.address}"
        with running_roles(roles, STORE, SERVER, WORKER):
            apply_flag(roles.address, "cuts", v1=50, v2=50)
            acknowledged = load_under(cuts_to_store(marker), proxy, roles.address, "cuts")
            await_aggregated(roles.address, "cuts", acknowledged)
