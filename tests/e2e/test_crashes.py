"""kill -9 of a role in the middle of a load: every acknowledged event is counted once."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import grpc
import pytest

import tidegate
from tests.e2e.stack import Stack
from tidegate.v1 import report_service_pb2, report_service_pb2_grpc

EVENTS = 200_000
UNITS = 2_000

Figures = Counter[tuple[str, str]]


def report(stack: Stack, flag: str) -> report_service_pb2.Report:
    """Return the report on a flag."""
    with grpc.insecure_channel(stack.address) as channel:
        stub = report_service_pb2_grpc.ReportServiceStub(channel)
        request = report_service_pb2.GetReportRequest(flag_key=flag)
        return stub.GetReport(request, wait_for_ready=True, timeout=30).report


def counted(stack: Stack, flag: str) -> tuple[Figures, Figures]:
    """Return how many outcomes the report counts, and their sums, by variant and outcome."""
    counts, sums = Figures(), Figures()
    for variant in report(stack, flag).variants:
        for outcome in variant.outcomes:
            counts[variant.variant, outcome.outcome] = outcome.count
            sums[variant.variant, outcome.outcome] = round(outcome.sum)
    return counts, sums


def until(holds: Callable[[], bool], seconds: float) -> bool:
    """Ask again, every tenth of a second, until it holds or the time is up."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.1)
    return True


def load(client: tidegate.Client, flag: str, kill: Callable[[], None]) -> tuple[Figures, Figures]:
    """Track EVENTS outcomes and call `kill` in the middle; return what was tracked."""
    counts, sums = Figures(), Figures()
    for number in range(EVENTS // 2):
        choice = client.assign(flag, f"user-{number % UNITS}")
        choice.track(latency_ms=number % 500, rating=number % 5 + 1)
        counts[choice.variant, "latency_ms"] += 1
        counts[choice.variant, "rating"] += 1
        sums[choice.variant, "latency_ms"] += number % 500
        sums[choice.variant, "rating"] += number % 5 + 1
        if number == EVENTS // 4:
            kill()
        if number % 5_000 == 0:  # stay within the queue: this test loses nothing
            client.flush(60)
    return counts, sums


@pytest.mark.timeout(200)
@pytest.mark.parametrize("role", ["server", "worker", "store"])
def test_every_acknowledged_event_is_counted_once(own_stack: Stack, role: str) -> None:
    own_stack.apply_flag("crash", v1=50, v2=50)
    with tidegate.Client(own_stack.address) as client:
        assert client.wait_ready(30)
        first_pid = own_stack.pid(role)
        tracked = load(client, "crash", lambda: own_stack.kill(role))
        assert client.flush(60)
        stats = client.stats()
    assert (stats.dropped, stats.refused) == (0, 0)
    assert sum(tracked[0].values()) == EVENTS
    settled = until(lambda: counted(own_stack, "crash") == tracked, 30)
    assert settled, f"tracked {tracked}, counted {counted(own_stack, 'crash')}"
    assert own_stack.pid(role) != first_pid
    units = sum(variant.exposures for variant in report(own_stack, "crash").variants)
    assert units == UNITS
