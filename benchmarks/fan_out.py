"""Section `watch`: a change of split on its way to many watchers of one server process.

Server and watchers share the machine: what the watchers' own process needs to read its streams is
part of the time. So a bare server of grpc.aio takes turns with Tidegate's: the floor.
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

from benchmarks import bare_server
from benchmarks.measure import print_table
from benchmarks.processes import processor_seconds, resident_bytes
from tests.e2e.stack import running_stack
from tidegate.v1 import assignment_service_pb2, flag_service_pb2, flag_service_pb2_grpc

METHOD = "/tidegate.v1.AssignmentService/WatchFlags"
CHANGES = 15
MOMENTS = ("first", "median", "last")
AT_ONCE = 200
"""Most watchers that connect at the same time."""


def run(*, long: bool) -> None:
    """Measure and print."""
    print_table(
        f"a change of split, from the call that makes it (medians of {CHANGES} changes); "
        "floor: a bare server of grpc.aio",
        (
            "watchers",
            "first",
            "median",
            "last",
            "target of the last",
            "last, ratio to its floor",
            "server computes",
            "memory a watcher",
            "refused",
        ),
        [row for count in ((1_000, 5_000) if long else (1_000,)) for row in measure(count)],
    )


def measure(count: int) -> list[tuple[str, ...]]:
    """Start everything, and a process that watches; return a row for the floor and one for us."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder)) as stack,
        bare_server.running() as (bare_address, bare_pid),
    ):
        stack.apply_flag("chat-model", v1=100, v2=0)
        servers = (bare_address, str(bare_pid), stack.address, str(stack.pid("server")))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fan_out", str(count), *servers],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    floor, ours = json.loads(done.stdout)
    ratio = statistics.median(b / a for a, b in zip(floor["last"], ours["last"], strict=True))
    target = "< 50 ms" if count <= 1_000 else "< 350 ms"
    return [
        (f"{count:,}, floor", *_figures(floor, "", "")),
        (f"{count:,}", *_figures(ours, target, f"{ratio:.2f}")),
    ]


def _figures(found: dict[str, Any], target: str, ratio: str) -> tuple[str, ...]:
    return (
        *(f"{statistics.median(found[name]) * 1_000:,.1f} ms" for name in MOMENTS),
        target,
        ratio,
        f"{found['server'] * 1_000:,.0f} ms",
        f"{found['memory'] / 1_024:,.0f} KiB",
        str(found["refused"]),
    )


class Watchers:
    """Streams of one process to one server: each notes when a change reached it."""

    def __init__(self, address: str, server: int) -> None:
        self.channels: list[grpc.aio.Channel] = []
        self.refused = 0
        self.memory = 0.0
        self._computed = 0.0
        self.moments: list[tuple[float, float, float]] = []
        self._server = server
        self._address = address
        self._arrivals: list[float] = []
        self._snapshots = 0
        self._wanted = 0
        self._answered = asyncio.Event()
        self._complete = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, count: int) -> None:
        """Open so many streams, each over a connection of its own; wait for their snapshots."""
        before = resident_bytes(self._server)
        limit = asyncio.Semaphore(AT_ONCE)
        self._tasks = [asyncio.create_task(self._watch(limit)) for _ in range(count)]
        while self._snapshots + self.refused < count:
            self._answered.clear()
            await self._answered.wait()
        self.memory = (resident_bytes(self._server) - before) / count

    async def note_arrivals(self, change: Awaitable[object]) -> None:
        """Make a change and note when it reached the watchers, in seconds after the call began."""
        if len(self.moments) == 1:
            self._computed = processor_seconds(self._server)
        self._arrivals.clear()
        self._wanted = self._snapshots
        self._complete.clear()
        begun = time.perf_counter()
        await change
        await asyncio.wait_for(self._complete.wait(), 60)
        after = sorted(moment - begun for moment in self._arrivals)
        self.moments.append((after[0], after[len(after) // 2], after[-1]))

    def found(self) -> dict[str, Any]:
        """Return the figures; the first change is not counted."""
        columns = zip(*self.moments[1:], strict=True)
        return {
            **dict(zip(MOMENTS, columns, strict=True)),
            "server": (processor_seconds(self._server) - self._computed) / CHANGES,
            "memory": self.memory,
            "refused": self.refused,
        }

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


async def watch(servers: dict[str, int], count: int) -> list[dict[str, Any]]:
    """Connect watchers to servers, by address and process id; change the split of each in turn."""
    everyone = [Watchers(address, pid) for address, pid in servers.items()]
    stubs: list[Any] = []
    for address, watchers in zip(servers, everyone, strict=True):
        await watchers.connect(count)
        stubs.append(flag_service_pb2_grpc.FlagServiceStub(grpc.aio.insecure_channel(address)))
    for number in range(CHANGES + 1):
        for stub, watchers in zip(stubs, everyone, strict=True):
            await watchers.note_arrivals(stub.UpdateSplit(split_request(number)))
    return [watchers.found() for watchers in everyone]


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
    count, *servers = sys.argv[1:]
    pids = dict(zip(servers[::2], map(int, servers[1::2]), strict=True))
    print(json.dumps(asyncio.run(watch(pids, int(count)))), flush=True)
    os._exit(0)  # closing thousands of channels of grpc.aio takes minutes


if __name__ == "__main__":
    main()
