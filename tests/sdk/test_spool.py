import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.fake_server import Batch as EventBatch
from tests.sdk.fake_server import FakeServer, fake_server, snapshot
from tests.sdk.flags import make_flag, make_snapshot
from tidegate.event_batch import Batch
from tidegate.spool import Spool

FIRST = snapshot(make_snapshot(make_flag(shares=(100, 0)), revision=4))


def message(number: int, events: int = 2) -> EventBatch:
    return EventBatch(batch_id=bytes([number] * 16), values=[float(number)] * events)


def batch(number: int) -> Batch:
    return Batch(message(number).SerializeToString(), 2)


def drain(spool: Spool) -> list[Batch]:
    found = []
    while (oldest := spool.oldest()) is not None:
        spooled, batch = oldest
        found.append(batch)
        spool.remove(spooled)
    return found


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", 10_000)
    yield spool
    spool.close()


def test_batches_come_back_in_order_and_leave_nothing(spool: Spool, tmp_path: Path) -> None:
    assert spool.oldest() is None
    assert not (tmp_path / "spool").exists()
    assert all(spool.put(batch(number)) for number in (1, 2, 3))
    assert len(spool) == 3
    assert drain(spool) == [batch(1), batch(2), batch(3)]
    assert len(spool) == 0
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []
    assert not spool.put(batch(4))


def test_it_takes_no_more_than_its_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    size = len(batch(1).payload)
    spool = Spool(tmp_path, size * 2)
    assert [spool.put(batch(number)) for number in (1, 2, 3)] == [True, True, False]
    assert "spool_size" in caplog.text
    oldest = spool.oldest()
    assert oldest is not None
    spool.remove(oldest[0])
    assert spool.put(batch(3))
    assert drain(spool) == [batch(2), batch(3)]
    spool.close()


def test_what_a_writer_left_is_adopted_once_it_is_dead(tmp_path: Path) -> None:
    writer, heir, other = (Spool(tmp_path, 10_000) for _ in range(3))
    writer.put(batch(1))
    writer.put(batch(2))
    assert heir.adopt() == 0
    writer.close()  # the lock goes, as at the end of a process; the batches stay
    assert heir.adopt() == 2
    assert other.adopt() == 0
    assert drain(heir) == [batch(1), batch(2)]
    assert list(tmp_path.iterdir()) == []
    assert heir.adopt() == 0
    other.close()
    heir.close()


def test_an_heir_that_ends_early_leaves_the_rest(tmp_path: Path) -> None:
    writer, heir, next_heir = (Spool(tmp_path, 10_000) for _ in range(3))
    for number in (1, 2, 3):
        writer.put(batch(number))
    writer.close()
    assert heir.adopt() == 3
    oldest = heir.oldest()
    assert oldest is not None
    assert not oldest[0].own
    heir.remove(oldest[0])
    heir.close()
    assert next_heir.adopt() == 2
    assert drain(next_heir) == [batch(2), batch(3)]
    next_heir.close()


def test_what_is_incomplete_or_broken_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Spool(tmp_path, 10_000)
    writer.put(batch(1))
    writer.put(batch(2))
    writer.close()
    (place,) = tmp_path.iterdir()
    first = min(place.glob("*.batch"))
    first.write_bytes(b"\xff")
    (place / "000000000003-2.partial").write_bytes(b"half")
    (tmp_path / "stray").write_text("no writer's")
    (tmp_path / "empty").mkdir()
    heir = Spool(tmp_path, 10_000)
    assert heir.adopt() == 2
    assert drain(heir) == [batch(2)]
    assert "is left out" in caplog.text
    assert not place.exists()
    heir.close()


def test_a_directory_that_cannot_be_written_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file", 10_000)
    assert not spool.put(batch(1))
    assert spool.adopt() == 0
    assert "spool_dir" in caplog.text


def test_a_child_leaves_its_parents_spool_alone(tmp_path: Path) -> None:
    """After a fork the parent's lock holds, and ends with the parent though the child lives."""
    program = """
import os, sys
from pathlib import Path
from tidegate.spool import Spool
from tidegate.event_batch import Batch
from tidegate.v1.event_service_pb2 import EventBatch
def batch(value):
    return Batch(EventBatch(values=[value]).SerializeToString(), 1)
spool = Spool(Path(sys.argv[1]), 10_000)
spool.put(batch(1.0))
if os.fork():
    sys.stdin.readline()
    os._exit(0)  # the child lives on
spool.after_fork()
assert len(spool) == 0
assert spool.adopt() == 0  # the parent lives
spool.put(batch(2.0))
print("ready", flush=True)
sys.stdin.readline()
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        heir = Spool(tmp_path, 10_000)
        assert heir.adopt() == 0
        parent.kill()
        parent.wait(20)
        assert heir.adopt() == 1
        assert [EventBatch.FromString(each.payload).values[:] for each in drain(heir)] == [[1.0]]
        parent.stdin.close()
        heir.close()


APP = """
import os, signal, sys, time, tidegate
client = tidegate.Client(
    sys.argv[1], spool_dir=sys.argv[2], snapshot_file=sys.argv[3], batch_size=500
)
def until(holds):
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, client.stats()
        time.sleep(0.01)
"""


def run_app(server: FakeServer, tmp_path: Path, program: str) -> subprocess.CompletedProcess[str]:
    paths = [str(tmp_path / "spool"), str(tmp_path / "snapshot")]
    return subprocess.run(
        [sys.executable, "-c", APP + program, server.address, *paths],
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )


def outcomes(server: FakeServer) -> Counter[float]:
    return Counter(value for *_, outcome, value in server.events() if outcome)


def test_an_outage_and_a_sudden_end_of_the_application_lose_nothing(tmp_path: Path) -> None:
    with fake_server(FIRST) as server:
        first = run_app(server, tmp_path, "assert client.wait_ready(20); client.close()")
        assert first.returncode == 0, first.stderr
        server.stop()
        killed = run_app(
            server,
            tmp_path,
            """
for number in range(2_000):
    client.assign("chat-model", f"user-{number}").track(n=number)
until(lambda: client.stats().spooled == 4_000 and not client.stats().queued)
os.kill(os.getpid(), signal.SIGKILL)
""",
        )
        assert killed.returncode == -9, killed.stderr
        on_disk = {
            EventBatch.FromString(path.read_bytes()).batch_id
            for path in (tmp_path / "spool").glob("*/*.batch")
        }
        assert len(on_disk) >= 8
        server.start()
        third = run_app(
            server,
            tmp_path,
            """
client.assign("chat-model", "user-1").track(n=5_000)
until(lambda: not any(os.scandir(sys.argv[2])))
client.close()
print(client.stats())
""",
        )
        assert third.returncode == 0, third.stderr
    assert outcomes(server) == Counter(map(float, [*range(2_000), 5_000]))
    assert Counter(batch.batch_id for batch in server.attempts if batch.batch_id in on_disk) == (
        dict.fromkeys(on_disk, 1)
    )
    assert "acknowledged=2, dropped=0" in third.stdout


def test_closing_without_a_server_spools_at_once_what_is_left(tmp_path: Path) -> None:
    with fake_server(FIRST) as server:
        server.stop()
        closed = run_app(
            server,
            tmp_path,
            """
from tests.sdk.flags import make_flag, make_snapshot
client._link.stream.begin_with(make_snapshot(make_flag(shares=(100, 0))), None)
for number in range(1_200):
    client.assign("chat-model", f"user-{number}").track(n=number)
began = time.monotonic()
client.close(20)
assert time.monotonic() - began < 5
stats = client.stats()
assert (stats.spooled, stats.queued, stats.dropped) == (2_400, 0, 0), stats
""",
        )
        assert closed.returncode == 0, closed.stderr
        assert "not acknowledged" not in closed.stderr
        server.start()
        run_app(server, tmp_path, "until(lambda: not any(os.scandir(sys.argv[2])))")
    assert outcomes(server) == Counter(map(float, range(1_200)))
