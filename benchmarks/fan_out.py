"""Section `watch`: a change of split on its way to many watchers of one server process.

Server and watchers share the machine: what the watchers' own process needs to read its streams is
part of the time.
"""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc

from benchmarks.measure import print_table
from benchmarks.processes import processor_seconds, resident_bytes
from tests.e2e.stack import running_stack
from tidegate.v1 import assignment_service_pb2, flag_service_pb2, flag_service_pb2_grpc

METHOD = "/tidegate.v1.AssignmentService/WatchFlags"
CHANGES = 7
AT_ONCE = 200
"""Most watchers that connect at the same time."""


def run(*, long: bool) -> None:
    """Measure and print."""
    print_table(
        f"a change of split, from the call that makes it (medians of {CHANGES} changes)",
        (
            "watchers",
            "first",
            "median",
            "last",
            "target of the last",
            "server computes",
            "memory a watcher",
            "refused",
        ),
        [measure(count) for count in ((1_000, 5_000) if long else (1_000,))],
    )


def measure(count: int) -> tuple[str, ...]:
    """Start everything, and a process that watches."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        stack.apply_flag("chat-model", v1=100, v2=0)
        server = str(stack.pid("server"))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fan_out", stack.address, server, str(count)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout)
    figures = (f"{found[name] * 1_000:,.1f} ms" for name in ("first", "median", "last"))
    target = "< 50 ms" if count <= 1_000 else "< 350 ms"
    memory = f"{found['memory'] / 1_024:,.0f} KiB"
    computes = f"{found['server'] * 1_000:,.0f} ms"
    return f"{count:,}", *figures, target, computes, memory, str(found["refused"])


class Watchers:
    """Streams of one process: each notes when a change reached it."""

    def __init__(self, address: str) -> None:
        self.channels: list[grpc.aio.Channel] = []
        self.refused = 0
        self._address = address
        self._arrivals: list[float] = []
        self._snapshots = 0
        self._wanted = 0
        self._answered = asyncio.Event()
        self._complete = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, count: int) -> None:
        """Open so many streams, each over a connection of its own; wait for their snapshots."""
        limit = asyncio.Semaphore(AT_ONCE)
        self._tasks = [asyncio.create_task(self._watch(limit)) for _ in range(count)]
        while self._snapshots + self.refused < count:
            self._answered.clear()
            await self._answered.wait()

    async def arrivals(self, change: Awaitable[object]) -> list[float]:
        """Make a change; return when it reached the watchers, in seconds after the call began."""
        self._arrivals.clear()
        self._wanted = self._snapshots
        self._complete.clear()
        begun = time.perf_counter()
        await change
        await asyncio.wait_for(self._complete.wait(), 60)
        return sorted(moment - begun for moment in self._arrivals)

    async def _watch(self, limit: asyncio.Semaphore) -> None:
        async with limit:
            channel = grpc.aio.insecure_channel(
                self._address, options=[("grpc.use_local_subchannel_pool", 1)]
            )
            self.channels.append(channel)
            request = assignment_service_pb2.WatchFlagsRequest().SerializeToString()
            stream: Any = channel.unary_stream(METHOD)(request)  # type: ignore[arg-type] # bytes
            try:
                await stream.read()
                self._snapshots += 1
            except grpc.aio.AioRpcError:
                self.refused += 1
                return
            finally:
                self._answered.set()
        while (message := await stream.read()) is not grpc.aio.EOF:
            if is_change(message):
                self._arrivals.append(time.perf_counter())
                if len(self._arrivals) == self._wanted:
                    self._complete.set()


def is_change(message: bytes) -> bool:
    """Tell changes from heartbeats by the tag of their field, without reading the rest."""
    fields = assignment_service_pb2.WatchFlagsResponse.DESCRIPTOR.fields_by_name
    return message[0] >> 3 == fields["change"].number


async def watch(address: str, server: int, count: int) -> dict[str, float]:
    """Connect the watchers, change the split some times, and return the figures."""
    before = resident_bytes(server)
    watchers = Watchers(address)
    await watchers.connect(count)
    memory = (resident_bytes(server) - before) / count
    rounds = []
    computed = 0.0
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = flag_service_pb2_grpc.FlagServiceStub(channel)
        for number in range(CHANGES + 1):
            found = await watchers.arrivals(stub.UpdateSplit(split_request(number)))
            if not number:
                computed = processor_seconds(server)
            else:
                rounds.append((found[0], found[len(found) // 2], found[-1]))
    first, median, last = (statistics.median(each) for each in zip(*rounds, strict=True))
    return {
        "first": first,
        "median": median,
        "last": last,
        "server": (processor_seconds(server) - computed) / CHANGES,
        "memory": memory,
        "refused": watchers.refused,
    }


def split_request(number: int) -> flag_service_pb2.UpdateSplitRequest:
    """Return a split that differs from the one before."""
    request = flag_service_pb2.UpdateSplitRequest(key="chat-model")
    share = (number + 1) * 10_000
    request.split.add(variant="v1", share_ppm=1_000_000 - share)
    request.split.add(variant="v2", share_ppm=share)
    return request


def main() -> None:
    """Watch, and write the figures."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 32_768)), hard))
    address, server, count = sys.argv[1:]
    print(json.dumps(asyncio.run(watch(address, int(server), int(count)))), flush=True)
    os._exit(0)  # closing thousands of channels of grpc.aio takes minutes


if __name__ == "__main__":
    main()
