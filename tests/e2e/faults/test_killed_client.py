"""A client with a spool is killed in mid-batch: what is on disk is delivered by another, once."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.calls import apply_flag
from tests.e2e.faults.load import Load
from tests.e2e.faults.roles import SERVER, STORE, WORKER, Roles, running_roles
from tests.e2e.tally import Tally, add, await_aggregated, total
from tidegate.spool import SUFFIX
from tidegate.v1 import event_service_pb2

SPOOLED = 20
"""Batches that the spool holds when the client is killed, or a few more."""

POLL_SECONDS = 0.01


def batches(spool: Path) -> list[Path]:
    """Return the files of a spool."""
    return list(spool.glob(f"*/*{SUFFIX}"))


def until(holds: Callable[[], bool]) -> None:
    """Ask again until it holds; the test's time limit ends it otherwise."""
    while not holds():
        time.sleep(POLL_SECONDS)


def spooled(spool: Path) -> Tally:
    """Count the events that a spool holds."""
    tally = Tally()
    for path in batches(spool):
        batch = event_service_pb2.EventBatch.FromString(path.read_bytes())
        for index, value in zip(batch.series_indexes, batch.values, strict=True):
            series = batch.series[index]
            add(tally, series.variant, series.outcome, value)
    return tally


@pytest.mark.parametrize("away", [SERVER, STORE])
def test_another_client_delivers_the_spool_once(tmp_path: Path, away: str) -> None:
    spool = tmp_path / "spool"
    with running_roles(Roles(tmp_path), STORE, SERVER, WORKER) as roles:
        apply_flag(roles.address, "spooled", v1=50, v2=50)
        with Load(roles.address, "spooled", "killed", spool) as victim:
            acknowledged = victim.hold()
            roles.kill(away)
            victim.go_on()
            until(lambda: len(batches(spool)) >= SPOOLED)
            victim.kill()
        on_disk = spooled(spool)
        roles.start(away)
        roles.wait_ready()
        with Load(roles.address, "spooled", "heir", spool) as heir:
            until(lambda: not batches(spool))
            own = heir.finish()
        await_aggregated(roles.address, "spooled", acknowledged + on_disk + own)
    assert total(on_disk) > SPOOLED
