"""The floor of section `watch`: the least that a server of grpc.aio must do for its watchers.

It knows no flags: each change wakes whoever waits, and sends them bytes that stay the same.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from tidegate.v1 import assignment_service_pb2, flag_service_pb2
from tidegate_server.rpc.server import OPTIONS


@contextmanager
def running() -> Iterator[tuple[str, int]]:
    """Run the server in a process of its own; yield its address and process id."""
    command = [sys.executable, "-m", "benchmarks.bare_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{process.stdout.readline().strip()}", process.pid
        finally:
            process.kill()


class BareServicer:
    """Watchers who wait for one event."""

    def __init__(self, change: bytes) -> None:
        self._change = change
        self._news = asyncio.Event()

    async def watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Send a first message, and one with every change."""
        while True:
            yield self._change
            await self._news.wait()

    async def update_split(self, request: bytes, context: Any) -> bytes:
        """Wake the watchers."""
        news, self._news = self._news, asyncio.Event()
        news.set()
        return flag_service_pb2.UpdateSplitResponse().SerializeToString()


async def main() -> None:
    """Serve until the process ends."""
    message = assignment_service_pb2.WatchFlagsResponse()
    message.change.deleted_key = "x" * 150  # about as long as a flag of two variants
    servicer = BareServicer(message.SerializeToString())
    server = grpc.aio.server(options=OPTIONS)
    for service, handlers in (
        (
            "tidegate.v1.AssignmentService",
            {"WatchFlags": grpc.unary_stream_rpc_method_handler(servicer.watch)},
        ),
        (
            "tidegate.v1.FlagService",
            {"UpdateSplit": grpc.unary_unary_rpc_method_handler(servicer.update_split)},
        ),
    ):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
