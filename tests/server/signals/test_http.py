"""The HTTP server of metrics: what it serves, how it stops, and that the loop goes on meanwhile."""

import asyncio
import http.client
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from tests.e2e.stack import free_port
from tests.server.signals.scraping import scrape
from tidegate_server.errors import ConfigurationError
from tidegate_server.signals.http import serving_metrics


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("tidegate_answer", "All of it.", registry=registry).set(42)
    return registry


def ask(address: str, method: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


async def test_it_serves_metrics_and_nothing_else(
    address: str, registry: CollectorRegistry
) -> None:
    async with serving_metrics(address, registry):
        assert (await scrape(address)).value("tidegate_answer") == 42
        for method, path, status in (
            ("GET", "/metrics?name[]=tidegate_answer", 200),
            ("GET", "/", 404),
            ("GET", "/favicon.ico", 404),
            ("GET", "/metrics/more", 404),
            ("POST", "/metrics", 405),
        ):
            code, text = await asyncio.to_thread(ask, address, method, path)
            assert (code, path) == (status, path)
            assert ("42" in text) is (status == 200)


async def test_without_an_address_nothing_is_served(registry: CollectorRegistry) -> None:
    threads = threading.active_count()
    async with serving_metrics(None, registry):
        assert threading.active_count() == threads


async def test_it_serves_ipv6(registry: CollectorRegistry) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    address = f"[::1]:{free_port()}"
    async with serving_metrics(address, registry):
        assert (await scrape(address)).value("tidegate_answer") == 42


async def test_after_its_end_the_port_is_free_and_no_thread_is_left(
    address: str, registry: CollectorRegistry
) -> None:
    for _ in range(2):
        async with serving_metrics(address, registry):
            await scrape(address)
        assert not [each for each in threading.enumerate() if each.name == "tidegate-metrics"]


async def test_a_taken_port_is_named_with_the_fix(registry: CollectorRegistry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError) as failure:
            async with serving_metrics(address, registry):
                pass
    assert str(failure.value) == (
        f"TIDEGATE_METRICS_LISTEN: cannot listen on {address}: Address already in use; "
        "choose another HOST:PORT (port 0 takes any free one), or `off`"
    )


class FromTheLoop(Collector):
    """Needs the event loop to go on, and says when it was asked."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    def collect(self) -> Iterator[Metric]:
        asyncio.run_coroutine_threadsafe(self._wait(), self.loop).result(10)
        yield GaugeMetricFamily("tidegate_answer", "All of it.", value=42)

    async def _wait(self) -> None:
        self.asked.set()
        await self.answer.wait()


async def test_a_slow_scrape_keeps_neither_the_loop_nor_others_waiting(address: str) -> None:
    registry, slow = CollectorRegistry(), FromTheLoop()
    registry.register(slow)
    async with serving_metrics(address, registry), asyncio.timeout(10):
        scraping = asyncio.create_task(scrape(address))
        await slow.asked.wait()
        assert (await asyncio.to_thread(ask, address, "GET", "/"))[0] == 404
        assert not scraping.done()
        slow.answer.set()
        assert (await scraping).value("tidegate_answer") == 42


async def test_it_stops_while_a_scrape_waits_for_the_loop(address: str) -> None:
    registry, slow = CollectorRegistry(), FromTheLoop()
    registry.register(slow)
    async with asyncio.timeout(10):
        async with serving_metrics(address, registry):
            scraping = asyncio.create_task(scrape(address))
            await slow.asked.wait()
        slow.answer.set()
        assert (await scraping).value("tidegate_answer") == 42


class Faulty(Collector):
    def collect(self) -> Iterator[Metric]:
        raise OSError("cannot say")


async def test_a_fault_is_an_answer_and_a_line_of_the_log(address: str) -> None:
    registry = CollectorRegistry()
    registry.register(Faulty())
    with capture_logs() as lines:
        async with serving_metrics(address, registry):
            code, text = await asyncio.to_thread(ask, address, "GET", "/metrics")
    assert (code, text) == (500, "the role's log has the cause\n")
    assert [each["log_level"] for each in lines if each["event"] == "scrape_failed"] == ["error"]


async def test_a_peer_that_goes_away_is_no_fault(address: str, registry: CollectorRegistry) -> None:
    host, _, port = address.rpartition(":")
    with capture_logs() as lines:
        async with serving_metrics(address, registry):
            for _ in range(3):
                with socket.create_connection((host, int(port))) as peer:
                    peer.sendall(b"GET /metrics HTTP/1.1\r\n")
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await scrape(address)
    assert not [each for each in lines if each["log_level"] in ("warning", "error")]
