"""Requests over HTTP: to hooks, evaluations and the addresses of notifications."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
import structlog

from tidegate_server.ports import Clock

log = structlog.get_logger(__name__)

ID_HEADER = "Tidegate-Id"
"""The same in every attempt: a receiver knows by it what it has had already."""

SIGNATURE_HEADER = "Tidegate-Signature"

FIRST_BYTES = 500
"""How much of an answer is kept to be shown."""

_TEMPORARY = frozenset({425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. status: 0: nothing did, and `text` says why. text: its first bytes."""

    status: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether it is a yes."""
        return 200 <= self.status < 300

    @property
    def temporary(self) -> bool:
        """Whether another answer may come later."""
        return self.status == 0 or self.status in _TEMPORARY or self.status >= 500

    def __str__(self) -> str:
        if self.status == 0:
            return self.text
        redirected = " (redirects are not followed: name the address itself)"
        said = f"answered {self.status}{redirected if 300 <= self.status < 400 else ''}"
        return f"{said}: {self.text}" if self.text else said


class Web:
    """One client, to be used as a context manager.

    Redirects are not followed, proxies of the environment are not used, and certificates must be
    valid. secret: signs what is posted; None: nothing is signed.
    """

    def __init__(self, secret: str | None, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self._warned = False
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Without a limit: an address that hangs must not keep others waiting.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "tidegate"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str, seconds: float, most_bytes: int) -> Answer:
        """Ask with GET, for so long. most_bytes: to read of the answer."""
        return await self._ask("GET", url, b"", {}, seconds, most_bytes)

    async def post(self, url: str, body: bytes, message_id: str, seconds: float) -> Answer:
        """Post JSON, signed, for so long. message_id: the same in every attempt."""
        headers = {"Content-Type": "application/json", ID_HEADER: message_id}
        if self._secret is not None:
            headers[SIGNATURE_HEADER] = sign(
                self._secret, body, round(self._clock.now().timestamp())
            )
        elif not self._warned:
            self._warned = True
            log.warning("webhooks_unsigned", fix="set TIDEGATE_WEBHOOK_SECRET")
        return await self._ask("POST", url, body, headers, seconds, FIRST_BYTES)

    async def _ask(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        seconds: float,
        most_bytes: int,
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("use it as a context manager")
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return Answer(response.status, await _beginning(response, most_bytes))
        except TimeoutError:
            return Answer(0, f"no answer within {seconds:g} s")
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            return Answer(0, f"can't be reached: {str(error) or type(error).__name__}")


async def _beginning(response: aiohttp.ClientResponse, most_bytes: int) -> str:
    """Return the first bytes of an answer as text."""
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) >= most_bytes:
            break
    return read[:most_bytes].decode(errors="replace").strip()


def sign(secret: str, body: bytes, time_s: int) -> str:
    """Return the signature of a body at a time, in s since 1970: HMAC-SHA-256 over both."""
    digest = hmac.new(secret.encode(), f"{time_s}.".encode() + body, hashlib.sha256)
    return f"t={time_s},v1={digest.hexdigest()}"
