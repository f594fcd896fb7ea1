"""Which calls are under way, and a stop that waits for them and for nothing else."""

import asyncio
from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

LAST_WORDS_SECONDS = 0.2
"""Time for what the last calls wrote to leave, before connections are cut."""


class CallsUnderWay:
    """Counts the calls whose status has yet to be sent."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def note(self, context: Context) -> None:
        """Count a call until it ends, however it ends."""
        self._count += 1
        self._none.clear()
        context.add_done_callback(self._note_end)  # type: ignore[arg-type] # no Protocol in the stubs

    async def wait_none(self) -> None:
        """Wait until no call is under way."""
        await self._none.wait()

    def _note_end(self, _: Context) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()


async def stop_server(server: grpc.aio.Server, calls: CallsUnderWay, grace: float) -> None:
    """Take no more calls, let those under way end within `grace` seconds, and cut what is left.

    `Server.stop` alone also waits for every connection. A peer whose gRPC polls only while a call
    waits, and that has just closed its channel, was seen to hold it up for five to ten seconds.
    """
    stopping = asyncio.create_task(server.stop(grace))
    idle = asyncio.create_task(calls.wait_none())
    await asyncio.wait({stopping, idle}, return_when=asyncio.FIRST_COMPLETED)
    idle.cancel()
    await asyncio.wait({stopping}, timeout=LAST_WORDS_SECONDS)
    if not stopping.done():
        await server.stop(None)
    await stopping
