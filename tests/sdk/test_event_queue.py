import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.sdk.fake_server import Batch, FakeServer, fake_server
from tests.sdk.flags import make_flag, make_snapshot
from tests.waiting import until
from tidegate import event_queue as module
from tidegate.backoff import Backoff
from tidegate.delivery import MOST_ATTEMPTS, Delivery
from tidegate.evaluation import CompiledSnapshot
from tidegate.event_batch import Event
from tidegate.event_queue import EventQueue, QueueCounts, QueueOptions
from tidegate.spool import Spool

GIVEN = CompiledSnapshot(make_snapshot(make_flag(shares=(100,)))).evaluate("chat-model", "u").given
QUICK = Backoff(0.005, 0.02)


def event(number: int, unit_id: str = "user-1") -> Event:
    return GIVEN, "n", unit_id, 1_000.0, float(number)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as server:
        yield server


@contextmanager
def queue_to(
    address: str,
    every_tick: Callable[[], None] = lambda: None,
    spool: Spool | None = None,
    **options: float,
) -> Iterator[EventQueue]:
    with grpc.insecure_channel(
        address,
        options=[("grpc.max_reconnect_backoff_ms", 100), ("grpc.use_local_subchannel_pool", 1)],
    ) as channel:
        queue = EventQueue(
            Delivery(lambda: channel),
            QueueOptions(**options),  # type: ignore[arg-type]
            spool=spool,
            every_tick=every_tick,
            backoff=QUICK,
        )
        queue.start()
        try:
            yield queue
        finally:
            queue.close(0.0)


def add(queue: EventQueue, numbers: range) -> None:
    for number in numbers:
        queue.add(event(number))


def values(batches: list[Batch]) -> list[float]:
    return [value for batch in batches for value in batch.values]


def test_flush_waits_until_everything_is_acknowledged(server: FakeServer) -> None:
    with queue_to(server.address, batch_size=10, flush_interval=60) as queue:
        add(queue, range(25))
        assert queue.flush(10)
        assert [len(batch.values) for batch in server.attempts] == [10, 10, 5]
        assert values(server.attempts) == list(range(25))
        assert queue.counts() == QueueCounts(queued=0, acknowledged=25, dropped=0)
        assert queue.flush(10)


def test_a_full_batch_is_sent_at_once(server: FakeServer) -> None:
    with queue_to(server.address, batch_size=10, flush_interval=60) as queue:
        add(queue, range(12))
        server.until(lambda: len(server.stored) == 1)
        assert values(server.attempts) == list(range(10))
        assert queue.counts().queued >= 2


def test_the_last_events_are_sent_after_a_while(server: FakeServer) -> None:
    with queue_to(server.address, batch_size=10, flush_interval=0.05) as queue:
        add(queue, range(3))
        server.until(lambda: values(server.attempts) == [0, 1, 2])


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
    ],
)
def test_an_attempt_is_repeated_with_the_same_id(
    server: FakeServer, status: grpc.StatusCode
) -> None:
    server.answers = [status, status, status]
    with queue_to(server.address) as queue:
        add(queue, range(3))
        assert queue.flush(10)
        assert len(server.attempts) == 4
        assert len({batch.batch_id for batch in server.attempts}) == 1
        assert len(server.attempts[0].batch_id) == 16
        assert server.attempts[0] == server.attempts[3]
        assert server.request_ids == [server.attempts[0].batch_id.hex()] * 4
        add(queue, range(3))
        assert queue.flush(10)
        assert len({batch.batch_id for batch in server.attempts}) == 2


def test_a_batch_whose_answer_got_lost_is_stored_once(server: FakeServer) -> None:
    server.answers = ["store and fail"]
    with queue_to(server.address) as queue:
        add(queue, range(3))
        assert queue.flush(10)
        assert len(server.attempts) == 2
        assert len(server.stored) == 1
        assert queue.counts().acknowledged == 3


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [
        ([grpc.StatusCode.INVALID_ARGUMENT], 1),
        ([grpc.StatusCode.PERMISSION_DENIED], 1),
        ([grpc.StatusCode.UNKNOWN] * 9, MOST_ATTEMPTS),
    ],
)
def test_a_final_refusal_is_counted_logged_and_reported(
    server: FakeServer,
    caplog: pytest.LogCaptureFixture,
    answers: list[grpc.StatusCode],
    attempts: int,
) -> None:
    server.answers = list(answers)
    with queue_to(server.address) as queue:
        add(queue, range(3))
        assert not queue.flush(10)
        assert len(server.attempts) == attempts
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=3)
        assert f"refused for good and is dropped: {answers[0].name}: as the test" in caplog.text
        server.answers = []
        add(queue, range(1))
        assert queue.flush(10)
        (report,) = server.attempts[-1].dropped_events
        assert (report.flag_key, report.variant, report.phase, report.count) == (
            "chat-model",
            "v1",
            1,
            3,
        )
        add(queue, range(1))
        assert queue.flush(10)
        assert not server.attempts[-1].dropped_events


@pytest.mark.parametrize("spooled", [False, True])
def test_events_that_the_server_refuses_are_counted_and_logged(
    server: FakeServer, caplog: pytest.LogCaptureFixture, tmp_path: Path, spooled: bool
) -> None:
    server.answers = [grpc.StatusCode.UNAVAILABLE, 2] if spooled else [2]
    with queue_to(server.address, spool=Spool(tmp_path, 10_000) if spooled else None) as queue:
        add(queue, range(5))
        assert not queue.flush(10)
        assert queue.counts() == QueueCounts(queued=0, acknowledged=3, dropped=0, refused=2)
        batch = server.attempts[-1]
        named = f"batch {batch.batch_id.hex()}"
        assert f"2 of 5 events of {named} were refused for good: values[0]: wrong" in caplog.text
        assert f"left out 2 entries of {named}, but stored its events: unit_ids[0]" in caplog.text
        add(queue, range(1))
        assert queue.flush(10)
        assert not server.attempts[-1].dropped_events, "the server has counted them itself"


def test_a_full_queue_drops_and_reports_what_it_dropped(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    server.answers = [release]
    with queue_to(server.address, size=20, batch_size=10) as queue:
        add(queue, range(10))
        server.until(lambda: len(server.attempts) == 1)  # the first ten are under way
        taken = [queue.add(event(number)) for number in range(10, 40)]
        assert taken == [True] * 20 + [False] * 10
        assert queue.counts() == QueueCounts(queued=30, acknowledged=0, dropped=10)
        release.set()
        assert queue.flush(10)
        assert queue.counts() == QueueCounts(queued=0, acknowledged=30, dropped=10)
    assert values(list(server.stored.values())) == list(range(30))
    reported = Counter[int]()
    for index, batch in enumerate(server.attempts):
        reported[index] = sum(report.count for report in batch.dropped_events)
    assert reported == {0: 0, 1: 10, 2: 0}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "queue of events is full" in caplog.text


def test_the_server_can_ask_for_time(server: FakeServer) -> None:
    server.retry_after_ms = "400"
    server.answers = [grpc.StatusCode.RESOURCE_EXHAUSTED]
    with queue_to(server.address) as queue:
        add(queue, range(3))
        began = time.monotonic()
        assert queue.flush(10)
        assert time.monotonic() - began >= 0.4
    assert len(server.attempts) == 2


@pytest.mark.parametrize("nonsense", ["", "soon", "-5", "1e9"])
def test_what_is_no_time_is_passed_over(server: FakeServer, nonsense: str) -> None:
    server.retry_after_ms = nonsense
    server.answers = [grpc.StatusCode.RESOURCE_EXHAUSTED]
    with queue_to(server.address) as queue:
        add(queue, range(3))
        assert queue.flush(5)


def test_an_outage_is_waited_out(server: FakeServer) -> None:
    server.stop()
    with queue_to(server.address, flush_interval=0.01) as queue:
        add(queue, range(5))
        assert not queue.flush(0.2)
        assert queue.counts() == QueueCounts(queued=5, acknowledged=0, dropped=0)
        server.start()
        assert queue.flush(10)
    assert values(list(server.stored.values())) == [0, 1, 2, 3, 4]


def test_close_delivers(server: FakeServer) -> None:
    with queue_to(server.address, batch_size=10, flush_interval=60) as queue:
        add(queue, range(25))
        queue.close(10)
        assert queue.counts() == QueueCounts(queued=0, acknowledged=25, dropped=0)
        assert not queue.add(event(1))
        assert queue.counts().dropped == 1
        queue.close(10)


def test_close_is_bounded_when_nobody_listens(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    with queue_to(server.address) as queue:
        add(queue, range(5))
        began = time.monotonic()
        queue.close(0.3)
        assert time.monotonic() - began < 2
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=5)
        assert queue.flush(1)
    until(lambda: "closed with 5 events" in caplog.text, 10)  # its thread says so when it ends


def test_close_is_bounded_when_the_server_hangs(server: FakeServer) -> None:
    release = threading.Event()
    server.answers = [release]
    with queue_to(server.address, batch_size=1) as queue:
        add(queue, range(2))
        server.until(lambda: len(server.attempts) == 1)
        began = time.monotonic()
        queue.close(0.2)
        assert time.monotonic() - began < 2
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=2)
        release.set()


def test_a_queue_that_never_started_can_be_closed() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        queue = EventQueue(Delivery(lambda: channel), QueueOptions())
        queue.add(event(1))
        queue.close(1)
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=1)


def test_long_ids_make_small_batches(server: FakeServer) -> None:
    with queue_to(server.address, flush_interval=60) as queue:
        for number in range(500):
            queue.add(event(number, f"{number:01000}"))
        assert queue.flush(10)
    assert len(server.attempts) == 2
    assert max(batch.ByteSize() for batch in server.attempts) < 1 << 20
    assert values(server.attempts) == list(range(500))


def test_ids_of_units_can_stay_at_home(server: FakeServer) -> None:
    with queue_to(server.address, send_unit_ids=False) as queue:
        add(queue, range(1))
        assert queue.flush(10)
    assert not server.attempts[0].unit_ids


def test_a_fault_loses_one_batch_and_is_counted(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    with queue_to(server.address) as queue:
        with monkeypatch.context() as patch:
            patch.setattr(module, "encode_batch", fail)
            add(queue, range(3))
            assert not queue.flush(10)
        assert queue.counts().dropped == 3
        add(queue, range(2))
        assert queue.flush(10)
        assert queue.counts().acknowledged == 2
    assert "a fault" in caplog.text


def test_it_ticks_while_idle_and_while_it_retries(server: FakeServer) -> None:
    ticked = threading.Event()
    with queue_to(server.address, ticked.set, flush_interval=0.02) as queue:
        assert ticked.wait(10)
        server.stop()
        add(queue, range(1))
        ticked.clear()
        assert ticked.wait(10)


def test_events_of_many_threads_all_arrive(server: FakeServer) -> None:
    with queue_to(server.address, batch_size=100, flush_interval=0.01) as queue:
        threads = [
            threading.Thread(target=add, args=(queue, range(at, at + 2_000)))
            for at in range(0, 8_000, 2_000)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert queue.flush(20)
        assert queue.counts() == QueueCounts(queued=0, acknowledged=8_000, dropped=0)
    assert sorted(values(list(server.stored.values()))) == list(range(8_000))


def on_disk(directory: Path) -> list[Batch]:
    return [Batch.FromString(path.read_bytes()) for path in sorted(directory.glob("*/*.batch"))]


def test_an_outage_is_spent_on_disk(server: FakeServer, tmp_path: Path) -> None:
    server.stop()
    with queue_to(
        server.address,
        spool=Spool(tmp_path, 1_000_000),
        size=50,
        batch_size=10,
        flush_interval=0.01,
    ) as queue:
        for start in range(0, 200, 40):  # four times what the queue has room for
            add(queue, range(start, start + 40))
            assert not queue.flush(0.1)
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=0, spooled=200)
        kept = {batch.batch_id for batch in on_disk(tmp_path)}
        server.start()
        assert queue.flush(20)
        assert queue.counts() == QueueCounts(queued=0, acknowledged=200, dropped=0, spooled=0)
        assert not on_disk(tmp_path)
    assert set(server.stored) == kept
    assert sorted(values(list(server.stored.values()))) == list(range(200))


def test_a_full_spool_fills_the_queue_and_then_events_are_dropped(
    server: FakeServer, tmp_path: Path
) -> None:
    server.stop()
    with queue_to(
        server.address, spool=Spool(tmp_path, 600), size=20, batch_size=10, flush_interval=0.01
    ) as queue:
        for number in range(200):
            queue.add(event(number))
            if number % 10 == 0:
                queue.flush(0.05)
        counts = queue.counts()
        assert counts.spooled > 0
        assert counts.dropped > 0
        assert counts.queued >= 20
        assert counts.queued + counts.spooled + counts.dropped == 200
        server.start()
        assert queue.flush(20)
        assert queue.counts().acknowledged == 200 - counts.dropped
        queue.add(event(1))
        assert queue.flush(10)
    reported = sum(each.count for batch in server.attempts for each in batch.dropped_events)
    assert reported == counts.dropped


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [([grpc.StatusCode.INVALID_ARGUMENT], 1), ([grpc.StatusCode.INTERNAL] * 9, MOST_ATTEMPTS)],
)
def test_a_spooled_batch_may_be_refused_for_good(
    server: FakeServer, tmp_path: Path, answers: list[grpc.StatusCode], attempts: int
) -> None:
    server.answers = [grpc.StatusCode.UNAVAILABLE, *answers]
    with queue_to(server.address, spool=Spool(tmp_path, 1_000_000)) as queue:
        add(queue, range(3))
        assert not queue.flush(10)
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=3)
        assert len(server.attempts) == 1 + attempts
        server.answers = []
        add(queue, range(1))
        assert queue.flush(10)
        assert [report.count for report in server.attempts[-1].dropped_events] == [3]
    assert not on_disk(tmp_path)


def test_what_is_under_way_at_the_end_is_spooled_with_its_id(
    server: FakeServer, tmp_path: Path
) -> None:
    release = threading.Event()
    server.answers = [release]
    with queue_to(server.address, spool=Spool(tmp_path, 1_000_000), batch_size=2) as queue:
        add(queue, range(5))
        server.until(lambda: len(server.attempts) == 1)
        began = time.monotonic()
        queue.close(0.2)
        assert time.monotonic() - began < 3
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=0, spooled=5)
        left = on_disk(tmp_path)
        assert server.attempts[0].batch_id in {batch.batch_id for batch in left}
        assert sorted(values(left)) == [0, 1, 2, 3, 4]
        release.set()


def test_events_that_nobody_wants_are_counted() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        queue = EventQueue(Delivery(lambda: channel), QueueOptions())
        queue.discard()
        assert queue.add(event(1))
        queue.after_fork()
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=0)
        assert queue.add(event(1))
        assert queue.counts() == QueueCounts(queued=0, acknowledged=0, dropped=1)
        assert queue.flush(1)
        queue.close(1)
