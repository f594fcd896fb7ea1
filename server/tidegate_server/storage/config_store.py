"""Flags and revisions in Redis: the port ConfigStore."""

import secrets
from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import Redis

from tidegate.model import Change, Flag, FlagKey, Revision, Snapshot
from tidegate.v1 import flag_pb2
from tidegate.wire import flag_from_message, flag_to_message
from tidegate_server.errors import RevisionConflict
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ConfigKeys

KEPT_CHANGES = 1_000
"""About how many changes a reader may lag behind before it has to load again."""

_IDLE_MS = 1_000
_TOKEN_BYTES = 16
_LOAD = Script.named("load_config")
_COMMIT = Script.named("commit_change")
_READ = Script.named("read_changes")


class RedisConfigStore:
    """One environment's flags, its revision, and a bounded stream of changes.

    Every commit leaves a random token with its change. By it a commit whose reply was lost is
    recognised when it is sent again, and a reader notices that a store set back to an earlier
    state (a backup, an unsynced tail lost with the machine) has since taken another course.
    """

    def __init__(self, client: Redis, environment: str) -> None:
        self._client = client
        self._keys = ConfigKeys(environment)
        self._seen: tuple[int, bytes] = (0, b"")

    async def load(self) -> Snapshot:
        """Return everything, as of one moment.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        keys = [self._keys.revision, self._keys.flags, self._keys.changes]
        revision, fields, token = await run(self._client, _LOAD, keys)
        self._seen = (int(revision), token)
        flags = sorted((_parse(payload) for payload in fields[1::2]), key=lambda flag: flag.key)
        return Snapshot(Revision(int(revision)), {flag.key: flag for flag in flags})

    async def commit(self, change: Change) -> None:
        """Store `change` in one atomic step if the store stands at `change.revision` - 1.

        Raises:
            RevisionConflict: it stands elsewhere; nothing was changed.
            StoreUnavailable: no reply arrived: the change may or may not be stored. Load to see.
            StoreFull: its memory is used up; nothing was changed.
        """
        payload = b"" if change.flag is None else flag_to_message(change.flag).SerializeToString()
        keys = [self._keys.revision, self._keys.flags, self._keys.changes]
        token = secrets.token_bytes(_TOKEN_BYTES)
        args: list[bytes | str | int] = [change.revision, token, change.key, payload, KEPT_CHANGES]
        stored, revision = await run(self._client, _COMMIT, keys, args)
        if not stored:
            raise RevisionConflict(
                f"the configuration is at revision {revision}, not {change.revision - 1}: "
                "somebody changed it; read it again and repeat the change"
            )

    async def changes(self, after: Revision) -> AsyncGenerator[Change | None, None]:
        """Yield each change above `after` once, in order, without end; None on every idle second.

        Raises:
            RevisionConflict: changes above `after` are no longer kept, or the store was set back
                below or beside `after`: load again.
            StoreUnavailable: the store can't be reached. Load again afterwards: it may come back
                without its last changes.
        """
        position = int(after)
        token = self._seen[1] if self._seen[0] == position else b""
        keys = [self._keys.revision, self._keys.changes]
        while True:
            revision, found, entries = await run(self._client, _READ, keys, [position])
            if revision < position or (token and found and token != found):
                raise RevisionConflict(
                    f"the configuration was set back from revision {position}: load it again"
                )
            if not entries and revision > position:
                raise _trimmed(position)
            for entry in entries:
                change, token = _change(entry)
                if change.revision != position + 1:
                    raise _trimmed(position)
                position = change.revision
                self._seen = (position, token)
                yield change
            if not entries and not await self._wait(position):
                yield None

    async def _wait(self, position: int) -> bool:
        """Return as soon as there is a change above `position`; False if a second passes first."""
        with store_errors(self._client):
            streams: dict[Any, Any] = {self._keys.changes: f"{position}-0"}
            return bool(await self._client.xread(streams, count=1, block=_IDLE_MS))


def _change(entry: tuple[bytes, list[bytes]]) -> tuple[Change, bytes]:
    """Return a change and its token."""
    entry_id, (_, token, _, key, _, payload) = entry
    revision = Revision(int(entry_id.partition(b"-")[0]))
    flag = _parse(payload) if payload else None
    return Change(revision, FlagKey(key.decode()), flag), token


def _parse(payload: bytes) -> Flag:
    return flag_from_message(flag_pb2.Flag.FromString(payload))


def _trimmed(position: int) -> RevisionConflict:
    return RevisionConflict(
        f"the changes above revision {position} are no longer kept: load the configuration again"
    )
