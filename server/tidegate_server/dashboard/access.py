"""Who may see and change what: tokens are exchanged for sessions, which live in a cookie."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

from tidegate_server.dashboard.tokens import Tokens

SESSION_SECONDS = 7 * 24 * 3600
MOST_ENDED = 10_000


class Role(StrEnum):
    """VIEWER: sees everything, changes nothing. OPERATOR: changes too."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who showed a token. expires: seconds since 1970."""

    id: str
    role: Role
    expires: int

    @property
    def operates(self) -> bool:
        """Whether changes are allowed."""
        return self.role is Role.OPERATOR


class Access:
    """Exchanges tokens for sessions.

    A session is text that is signed with a key made of the tokens: it outlives a restart, and ends
    when the tokens change, when its time is over, or when it is ended here.

    clock: seconds since 1970.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        own = {Role.VIEWER: tokens.view, Role.OPERATOR: tokens.operate}
        self._digests = {role: _digest(token) for role, token in own.items() if token is not None}
        material = [role.encode() + digest for role, digest in self._digests.items()]
        self._key = hashlib.sha256(b"tidegate dashboard" + b"".join(material)).digest()
        self._clock = clock
        self._ended: OrderedDict[str, None] = OrderedDict()

    def exchange(self, token: str) -> Session | None:
        """Return a new session for a token; None if it is none. Takes the same time for all."""
        shown = hashlib.sha256(token.encode()).digest()
        roles = [role for role, own in self._digests.items() if hmac.compare_digest(own, shown)]
        if not roles:
            return None
        expires = int(self._clock()) + SESSION_SECONDS
        return Session(secrets.token_urlsafe(12), roles[-1], expires)

    def seal(self, session: Session) -> str:
        """Return a session as the value of a cookie."""
        body = json.dumps([session.id, session.role, session.expires]).encode()
        return f"{_encode(body)}.{_encode(self._sign(body))}"

    def read(self, sealed: str) -> Session | None:
        """Return the session of a cookie's value, if it is one and still lives."""
        body, _, signature = sealed.partition(".")
        try:
            content, given = _decode(body), _decode(signature)
            if not hmac.compare_digest(given, self._sign(content)):
                return None
            number, role, expires = json.loads(content)
        except ValueError:
            return None
        session = Session(number, Role(role), expires)
        return session if self.lives(session) else None

    def lives(self, session: Session) -> bool:
        """Tell whether a session still counts."""
        return session.id not in self._ended and self._clock() < session.expires

    def end(self, session: Session) -> None:
        """Let a session count no longer."""
        self._ended[session.id] = None
        while len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")


class Attempts:
    """How often an address may show a wrong token: `burst` (>= 1) times, then once in `seconds`.

    seconds: > 0. clock: monotonic, in seconds.
    """

    MOST_ADDRESSES = 10_000

    def __init__(
        self, burst: int = 5, seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._room = (burst - 1) * seconds
        self._seconds = seconds
        self._clock = clock
        self._paid_until: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str) -> float:
        """Return how many seconds must pass before the next attempt, >= 0."""
        return max(0.0, self._paid_until.get(address, 0.0) - self._room - self._clock())

    def note(self, address: str) -> None:
        """Count an attempt that failed."""
        now = self._clock()
        self._paid_until[address] = max(self._paid_until.pop(address, now), now) + self._seconds
        while len(self._paid_until) > self.MOST_ADDRESSES:
            self._paid_until.popitem(last=False)


def _digest(token: SecretStr) -> bytes:
    return hashlib.sha256(token.get_secret_value().encode()).digest()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
