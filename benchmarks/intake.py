"""Section `intake`: what the server computes for a batch of 500 events, beside an echo.

The echo is a server of grpc.aio that appends the bytes it is sent, by the same script to the same
store, and neither reads nor checks them.
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import grpc

from benchmarks.batches_of_events import ready_batches
from benchmarks.event_client import METHOD, request_of, send_all
from benchmarks.measure import print_table
from benchmarks.processes import processor_seconds
from tests.e2e.stack import running_stack
from tidegate_server import embedded_store
from tidegate_server.domain.events import BatchId
from tidegate_server.storage.client import open_client
from tidegate_server.storage.event_log import RedisEventLog

ROUNDS, BATCHES = 11, 1_500
TARGET = "≤ 1.3"


def run(*, long: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        stack.apply_flag("chat-model", v1=50, v2=50)
        url = embedded_store.url(stack.data_dir)
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.intake", url],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        ) as echo:
            assert echo.stdout is not None
            servers = {stack.address: stack.pid("server"), echo.stdout.readline().strip(): echo.pid}
            ours, floor = zip(*(measure(servers) for _ in range(ROUNDS + 1)), strict=True)
            echo.terminate()
    ratio = median(a / b for a, b in list(zip(ours, floor, strict=True))[1:])
    print_table(
        f"processor time of the server for a batch of 500 events (medians of {ROUNDS} rounds)",
        ("", "µs a batch", "ratio to the echo", "target"),
        [
            ("an echo that appends", f"{median(floor[1:]) * 1e6:,.0f}", "", ""),
            ("tidegate server", f"{median(ours[1:]) * 1e6:,.0f}", f"{ratio:.2f}", TARGET),
        ],
    )


def measure(servers: dict[str, int]) -> list[float]:
    """Send new batches to each server in turn; return the seconds it computed for one."""
    found = []
    for address, pid in servers.items():
        requests = [request_of(batch) for batch in ready_batches(BATCHES)]
        with grpc.insecure_channel(address) as channel:
            before = processor_seconds(pid)
            send_all(channel.unary_unary(METHOD), requests)
            found.append((processor_seconds(pid) - before) / BATCHES)
    return found


async def serve(url: str) -> None:
    """Be the echo, until the process is ended."""
    store = open_client(url)
    log = RedisEventLog(store, "echo", 2, max_bytes=1 << 40)
    count = 0

    async def answer(request: bytes, _: object) -> bytes:
        nonlocal count
        count += 1
        await log.append(BatchId(count.to_bytes(16)), request)
        return b""

    server = grpc.aio.server()
    handlers = {"ReportEvents": grpc.unary_unary_rpc_method_handler(answer)}
    service = METHOD.split("/")[1]
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
