"""A real HTTP server that answers as it is told, and keeps what it was sent."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        content = json.loads(self.body)
        assert isinstance(content, dict)
        return content


@dataclass
class Receiver:
    """answers: what comes next, by path: a status, or None: no answer at all. Then 200.

    text: of all answers.
    """

    url: str = ""
    answers: dict[str, deque[int | None]] = field(default_factory=dict)
    text: str = "said"
    received: list[Received] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, path: str, *answers: int | None) -> None:
        self.answers[path] = deque(answers)

    def of(self, path: str) -> list[Received]:
        return [each for each in self.received if each.path == path]

    async def wait_for(self, path: str, number: int) -> list[Received]:
        """Wait until so many requests have come to a path; return them."""
        while len(self.of(path)) < number:
            self._news.clear()
            await self._news.wait()
        return self.of(path)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        headers = dict(request.headers)
        body = await request.read()
        self.received.append(Received(request.method, request.path, headers, body))
        self._news.set()
        pending = self.answers.get(request.path)
        status = pending.popleft() if pending else 200
        if status is None:
            await self.ended.wait()
            status = 500
        location = {"Location": f"{self.url}/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, text=self.text, headers=location)


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Serve on a free port of the loopback interface."""
    receiver = Receiver()
    server = web.Server(receiver.handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    _, port = runner.addresses[0][:2]
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        receiver.ended.set()
        await runner.cleanup()
