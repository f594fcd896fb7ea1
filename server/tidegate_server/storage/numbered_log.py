"""Streams of commits, numbered without gaps, that others follow and notice when they miss some."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from tidegate_server.errors import RevisionConflict
from tidegate_server.storage.client import Script, run, store_errors

_IDLE_MS = 1_000
_TOKEN_BYTES = 16
_READ = Script.named("read_changes")


def new_token() -> bytes:
    """Return a random token, by which one commit is told from every other."""
    return secrets.token_bytes(_TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One commit. fields: names and values by turns, the token's first."""

    number: int
    fields: Sequence[bytes]

    @property
    def token(self) -> bytes:
        """The commit's token."""
        return self.fields[1]


@dataclass(frozen=True, slots=True)
class NumberedLog:
    """A bounded stream. count: key of the latest number; stream: of the entries.

    what: is logged, in words.
    """

    client: Redis
    count: str
    stream: str
    what: str

    async def follow(self, position: int, token: bytes) -> AsyncGenerator[LogEntry | None, None]:
        """Yield each entry above `position` once, in order, without end; None on every idle second.

        token: of the entry at `position`; empty if it is not known.

        Raises:
            RevisionConflict: entries above `position` are no longer kept, or the store was set back
                below or beside it: load again.
            StoreUnavailable: the store can't be reached. Load again afterwards: it may come back
                without its last entries.
        """
        keys = [self.count, self.stream]
        while True:
            latest, found, entries = await run(self.client, _READ, keys, [position])
            if latest < position or (token and found and token != found):
                raise RevisionConflict(
                    f"{self.what} was set back from revision {position}: load it again"
                )
            if not entries and latest > position:
                raise self._trimmed(position)
            token = found or token
            for entry_id, fields in entries:
                entry = LogEntry(int(entry_id.partition(b"-")[0]), fields)
                if entry.number != position + 1:
                    raise self._trimmed(position)
                position, token = entry.number, entry.token
                yield entry
            if not entries and not await self._wait(position):
                yield None

    async def _wait(self, position: int) -> bool:
        """Return as soon as there is an entry above `position`; False if a second passes first."""
        with store_errors(self.client):
            streams: dict[Any, Any] = {self.stream: f"{position}-0"}
            return bool(await self.client.xread(streams, count=1, block=_IDLE_MS))

    def _trimmed(self, position: int) -> RevisionConflict:
        return RevisionConflict(
            f"the changes above revision {position} are no longer kept: load {self.what} again"
        )
