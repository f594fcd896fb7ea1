"""A proxy in front of a store that can lose a reply."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class LossyProxy:
    """Passes bytes on; the reply to the next script that is run gets lost with its connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._armed = False
        self.url = ""
        self.lost = 0

    def lose_next_reply(self) -> None:
        self._armed = True

    async def serve(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            while request := await client_reader.read(1 << 20):
                writer.write(request)
                reply = await reader.read(1 << 20)
                if self._armed and b"EVAL" in request and not reply.startswith(b"-NOSCRIPT"):
                    self._armed = False
                    self.lost += 1
                    return
                client_writer.write(reply)
        finally:
            writer.close()
            client_writer.close()


@asynccontextmanager
async def lossy_proxy(url: str) -> AsyncIterator[LossyProxy]:
    proxy = LossyProxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy
