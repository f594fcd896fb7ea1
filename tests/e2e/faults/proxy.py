"""A proxy that cuts a connection after so many bytes of a request, or of a reply."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

CHUNK = 1 << 20
SECONDS = 10.0

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Direction(StrEnum):
    """Which bytes are counted: those of requests, or of replies."""

    REQUEST = "request"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Cut:
    """A connection that brings a request with `marker` passes `after` more bytes one way."""

    direction: Direction
    after: int
    marker: bytes = b""


class CuttingProxy:
    """Passes bytes on, and makes the cuts that are ordered, one at a time."""

    def __init__(self, connect: Connect) -> None:
        self.address = ""
        self.was_cut = threading.Event()
        self._connect = connect
        self._cut: Cut | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def order(self, cut: Cut) -> None:
        """Order the next cut; `was_cut` is set when it has happened."""
        self.was_cut.clear()
        self._cut = cut

    def wanted(self, request: bytes) -> Cut | None:
        """Return the cut that was ordered, if this request fits it.

        It is every such connection's, until one of them has made it: the first may fall idle.
        """
        cut = self._cut
        return None if cut is None or cut.marker not in request else cut

    def wants(self, cut: Cut | None) -> bool:
        """Return whether this cut has yet to be made."""
        return cut is not None and cut is self._cut

    def made(self) -> None:
        """Note that the cut was made."""
        self._cut = None
        self.was_cut.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either end, or a cut, closes it."""
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.close()
            return
        writers = {writer, far_writer}
        self._writers |= writers
        connection = _Connection(self)
        ways = [
            asyncio.ensure_future(connection.pass_on(reader, far_writer, Direction.REQUEST)),
            asyncio.ensure_future(connection.pass_on(far_reader, writer, Direction.REPLY)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for each in writers:
            each.close()
        await asyncio.wait(ways)
        self._writers -= writers

    async def close(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=SECONDS)


class _Connection:
    """The two ways of one connection, and the cut that awaits it."""

    def __init__(self, proxy: CuttingProxy) -> None:
        self._proxy = proxy
        self._cut: Cut | None = None
        self._left = 0

    async def pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        """Pass bytes one way until an end closes or they are cut off."""
        try:
            while data := await reader.read(CHUNK):
                if direction is Direction.REQUEST and not self._proxy.wants(self._cut):
                    self._cut = self._proxy.wanted(data)
                    self._left = self._cut.after if self._cut else 0
                cut = self._cut
                if cut is None or not self._proxy.wants(cut) or cut.direction is not direction:
                    writer.write(data)
                    continue
                writer.write(data[: self._left])
                self._left -= len(data)
                if self._left < 0:
                    self._proxy.made()
                    return
        except ConnectionError:
            return  # the same to us as an end


@contextmanager
def cutting_proxy(connect: Connect) -> Iterator[CuttingProxy]:
    """Run a proxy before what `connect` connects to, in a thread."""
    proxy, loop = CuttingProxy(connect), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(proxy.serve, "127.0.0.1", 0)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(SECONDS)
    host, port = server.sockets[0].getsockname()
    proxy.address = f"{host}:{port}"
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(proxy.close(), loop).result(2 * SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
