"""Many flags and experiments, and many updates: minutes of work."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.e2e.dashboard.browser import OPERATE, SETTINGS, VIEW, Visitor, chromium
from tests.e2e.dashboard.fast_dashboard import FASTER
from tests.e2e.dashboard.traffic import traffic
from tests.e2e.stack import WITHOUT_SETTINGS, Stack, free_port, running_stack
from tidegate.v1 import experiment_service_pb2, experiment_service_pb2_grpc
from tidegate_server.cli.experiment_file import parse_experiment_file
from tidegate_server.wire.experiments import plan_to_message

FLAGS, EXPERIMENTS = 200, 50
SECONDS_TO_FIRST_PAGE = 1.0
SECONDS_TO_AN_UPDATE = 2.0
UPDATES = 3_600
"""What an hour brings at one a second."""

ROOT = Path(__file__).parents[3]
PLAN = """
experiment: rollout-{number}
flag: flag-{number}
control: a
treatment: b
stages: [{{name: canary, share: 5%, bake: 1h}}, {{name: full, share: 100%}}]
guardrails: [{{metric: error, max: 5%}}, {{metric: latency_ms.p95, margin: 20%}}]
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with many flags, and a running experiment on each fourth."""
    chromium()
    with running_stack(tmp_path_factory.mktemp("crowded"), **SETTINGS) as stack:
        for number in range(FLAGS):
            stack.apply_flag(f"flag-{number}", a=100, b=0)
        with grpc.insecure_channel(stack.address) as channel:
            stub = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
            for number in range(EXPERIMENTS):
                plan = parse_experiment_file("plan", PLAN.format(number=number)).plan
                create = experiment_service_pb2.CreateExperimentRequest(plan=plan_to_message(plan))
                stub.CreateExperiment(create, timeout=30)
                start = experiment_service_pb2.StartExperimentRequest(
                    key=f"rollout-{number}", actor="test"
                )
                stub.StartExperiment(start, timeout=30)
        yield stack


def test_many_flags_and_experiments_are_shown_at_once_and_kept_current(
    crowded: Stack, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    visitor = Visitor(browser, f"http://{crowded.roles()['pages']}", token=OPERATE)
    page = visitor.page
    expect(page.locator('tr[data-key="flag-199"]')).to_be_attached()
    expect(page.locator('tr[data-key="rollout-49"]')).to_contain_text("canary, 1 of 2")
    opened = [seconds_to_open(visitor) for _ in range(5)]
    updated = [seconds_to_update(crowded, page, number) for number in range(60, 70)]
    with capsys.disabled():
        sys.stdout.write(
            f"\nfirst page: {sorted(opened)[2]:.2f} s (median of {len(opened)}), "
            f"update: {max(updated):.2f} s at most of {len(updated)}\n"
        )
    assert sorted(opened)[2] < SECONDS_TO_FIRST_PAGE
    assert max(updated) < SECONDS_TO_AN_UPDATE
    assert visitor.errors == []
    visitor.context.close()


def seconds_to_open(visitor: Visitor) -> float:
    """Return the time until the overview shows everything, in a browser that knows the site."""
    visitor.page.goto("about:blank")
    began = time.perf_counter()
    visitor.page.goto(f"{visitor.base}/prod")
    visitor.page.wait_for_selector('tr[data-key="flag-199"]', state="attached")
    visitor.page.wait_for_selector('tr[data-key="rollout-49"]', state="attached")
    return time.perf_counter() - began


def seconds_to_update(stack: Stack, page: Page, number: int) -> float:
    """Return the time from a change of a split until the open page shows it."""
    line = page.locator(f'tr[data-key="flag-{number}"]')
    began = time.perf_counter()
    stack.split(f"flag-{number}", a=75, b=25)
    expect(line).to_contain_text("b 25 %")
    return time.perf_counter() - began


@contextmanager
def fast_dashboard(stack: Stack, metrics: int) -> Iterator[str]:
    """Run a dashboard with accelerated updates; yield its address."""
    listen = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.e2e.dashboard.fast_dashboard"),
            *("--server", stack.address, "dashboard", "--listen", listen),
        ],
        cwd=ROOT,
        env={
            **WITHOUT_SETTINGS,
            "TIDEGATE_DASHBOARD_TOKEN": VIEW,
            "TIDEGATE_METRICS_LISTEN": f"127.0.0.1:{metrics}",
            "TIDEGATE_LOG_LEVEL": "warning",
        },
    )
    try:
        yield f"http://{listen}"
    finally:
        process.terminate()
        assert process.wait(30) == 0


def memory_mb(metrics: int) -> float:
    """Return the resident memory of a role."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    (line,) = [each for each in lines if each.startswith("process_resident_memory_bytes ")]
    return float(line.split()[1]) / 2**20


def heap_mb(page: Page) -> float:
    """Return what a page's scripts hold, after a collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    session.detach()
    return float(usage["usedSize"]) / 2**20


def test_memory_is_flat_over_an_hour_of_updates(
    crowded: Stack, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = free_port()
    crowded.apply_flag("chat-model", v1=50, v2=50)
    with (
        traffic(crowded.address, "chat-model"),
        fast_dashboard(crowded, metrics) as base,
    ):
        wait_for(base)
        visitor = Visitor(browser, base, token=VIEW)
        updates = Updates(visitor.page)
        visitor.go("/prod/flags/chat-model")
        samples = []
        for step in range(1, STEPS + 1):
            updates.wait_for(UPDATES * step // STEPS)
            samples.append((updates.count, memory_mb(metrics), heap_mb(visitor.page)))
        visitor.context.close()
    with capsys.disabled():
        sys.stdout.write(f"\n{UPDATES} updates, asked for {FASTER} times as often:\n")
        for count, process, heap in samples:
            sys.stdout.write(f"{count:6} updates: process {process:6.1f} MB, page {heap:5.1f} MB\n")
    third = STEPS // 3
    for place, most_growth in ((1, 1.1), (2, 1.25)):
        early = max(each[place] for each in samples[: third + 1])
        late = max(each[place] for each in samples[-third:])
        assert late < early * most_growth, f"it grows from {early:.0f} MB to {late:.0f} MB"
    assert visitor.errors == []


STEPS = 12


class Updates:
    """Counts the updates that a page is sent, over its reloads too."""

    def __init__(self, page: Page) -> None:
        self.count = 0
        self._page = page
        page.on("websocket", self._follow)

    def wait_for(self, wanted: int) -> None:
        """Wait until so many have come."""
        for _ in range(2_000):
            if self.count >= wanted:
                return
            self._page.wait_for_timeout(500)  # events of the page are heard meanwhile
        raise AssertionError(f"only {self.count} updates have come")

    def _follow(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._note)

    def _note(self, frame: str | bytes) -> None:
        self.count += isinstance(frame, str) and frame.startswith('42["update"')


def wait_for(base: str) -> None:
    """Wait until a dashboard answers."""
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{base}/healthz", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{base} does not answer")
