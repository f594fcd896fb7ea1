"""A proxy in front of a store that can lose a reply."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class LossyProxy:
    """Passes bytes on; the reply to the next script that is run gets lost with its connection."""

    def __init__(self, url: str) -> None:
        self.point_at(url)
        self._armed = False
        self._meanwhile: Callable[[], Awaitable[None]] | None = None
        self.url = ""
        self.lost = 0

    def point_at(self, url: str) -> None:
        """Pass new connections on to this store."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port

    def lose_next_reply(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Lose it. meanwhile: happens before the client notices."""
        self._armed = True
        self._meanwhile = meanwhile

    async def serve(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        running_script = False

        async def pass_requests() -> None:
            nonlocal running_script
            while request := await client_reader.read(1 << 20):
                running_script = b"EVAL" in request
                writer.write(request)

        async def pass_replies() -> None:
            while reply := await reader.read(1 << 20):
                if self._armed and running_script and not reply.startswith(b"-NOSCRIPT"):
                    self._armed = False
                    self.lost += 1
                    if self._meanwhile is not None:
                        await self._meanwhile()
                    return
                client_writer.write(reply)

        passing = [asyncio.ensure_future(each()) for each in (pass_requests, pass_replies)]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in passing:
                each.cancel()
            writer.close()
            client_writer.close()


@asynccontextmanager
async def lossy_proxy(url: str) -> AsyncIterator[LossyProxy]:
    proxy = LossyProxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy
