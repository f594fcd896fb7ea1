"""Flags and revisions in Redis: the port ConfigStore."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from redis.asyncio import Redis

from tidegate.errors import WireError
from tidegate.model import (
    Change,
    FlagChange,
    FlagKey,
    HoldoutChange,
    Revision,
    SegmentChange,
    Snapshot,
    VariantKey,
)
from tidegate.v1 import assignment_service_pb2, flag_pb2, segment_pb2
from tidegate.wire import (
    change_from_message,
    change_to_message,
    flag_from_message,
    flag_to_message,
    segment_from_message,
    segment_to_message,
)
from tidegate_server.errors import NotFound, RevisionConflict
from tidegate_server.ports import Had
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ConfigKeys
from tidegate_server.storage.numbered_log import LogEntry, NumberedLog, new_token

KEPT_CHANGES = 10_000
"""About how many changes are kept: for readers that lag behind, and to look at the past."""

_STRETCH = 500
"""Changes that one script looks through for those of one flag."""

_WHAT = "the configuration"
_LOAD = Script.named("load_config")
_COMMIT = Script.named("commit_change", "change_commit")
_LOAD_PAST = Script.named("load_past")
_FLAG_HISTORY = Script.named("flag_history")
_FLAG, _SEGMENT, _HOLDOUT = "flag/", "segment/", "holdout"


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
        keys = [self._keys.revision, self._keys.resources, self._keys.changes]
        revision, fields, token = await run(self._client, _LOAD, keys)
        self._seen = (int(revision), token)
        return _snapshot(int(revision), _pairs(fields))

    async def had(self, variants: Sequence[tuple[FlagKey, VariantKey]]) -> Had:
        """Return which of these variants (at least one) the environment has, or ever had.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        flags = list(dict.fromkeys(flag for flag, _ in variants))
        names = [*flags, *(_variant_name(flag, variant) for flag, variant in variants)]
        with store_errors(self._client):
            both = self._client.pipeline(transaction=True)
            both.get(self._keys.revision)
            both.smismember(self._keys.history, names)
            revision, found = await both.execute()
        return Had(
            Revision(int(revision or 0)),
            frozenset(flag for flag, is_there in zip(flags, found, strict=False) if is_there),
            frozenset(
                pair
                for pair, is_there in zip(variants, found[len(flags) :], strict=True)
                if is_there
            ),
        )

    async def load_past(self, revision: Revision) -> Snapshot:
        """Return the configuration as it was at an earlier revision, or is at the present one.

        revision: at least 0.

        Raises:
            NotFound: there was no such revision, or the changes since then are no longer kept.
            StoreUnavailable: the store can't be reached.
        """
        keys = [self._keys.revision, self._keys.resources, self._keys.changes]
        present, fields, entries = await run(self._client, _LOAD_PAST, keys, [revision])
        if revision > present:
            raise NotFound(
                f"revision {revision} is not there yet: the environment is at revision {present}"
            )
        if len(entries) < present - revision:
            raise NotFound(
                f"revision {revision} is no longer known: only the last {len(entries):,} changes "
                f"are kept; give {present - len(entries)} to {present}"
            )
        resources = _pairs(fields)
        for _, (_, _, _, field, _, before, _, _) in entries:
            resources[field] = before
        return _snapshot(revision, {field: value for field, value in resources.items() if value})

    async def flag_history(
        self, key: FlagKey, at: Revision | None, limit: int
    ) -> Sequence[FlagChange]:
        """Return what a flag became at its last `limit` (>= 1) revisions, the latest first.

        at: begin with this revision; None: with the latest. Where the changes reach back no
        further, the last is what the flag said before them, at that revision; of a flag that has
        not changed since, that is all.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        field = (_FLAG + key).encode()
        found: list[FlagChange] = []
        before: bytes | None = None
        position = "+" if at is None else f"{at}-0"
        while position:
            following, entries = await run(
                self._client, _FLAG_HISTORY, [self._keys.changes], [field, position, _STRETCH]
            )
            for revision, value, payload in entries:
                message = assignment_service_pb2.FlagChange.FromString(payload)
                flag = flag_from_message(message.flag) if message.HasField("flag") else None
                found.append(FlagChange(Revision(revision), key, flag))
                before = value
                if len(found) == limit:
                    return found
            position = f"{following}-0" if following else ""
        if before is None:
            with store_errors(self._client):
                stored: Any = await self._client.hget(self._keys.resources, _FLAG + key)
            before = stored
        if before:
            flag = flag_from_message(flag_pb2.Flag.FromString(before))
            if at is None or flag.revision <= at:
                found.append(FlagChange(flag.revision, key, flag))
        return found

    async def commit(self, change: Change) -> None:
        """Store `change` in one atomic step if the store stands at `change.revision` - 1.

        Raises:
            RevisionConflict: it stands elsewhere; nothing was changed.
            StoreUnavailable: no reply arrived: the change may or may not be stored. Load to see.
            StoreFull: its memory is used up; nothing was changed.
        """
        stored, revision = await run(
            self._client, _COMMIT, self._keys.commit, commit_arguments(change, new_token())
        )
        if not stored:
            raise conflict(revision, change.revision - 1)

    async def changes(self, after: Revision) -> AsyncGenerator[Change | None, None]:
        """Yield each change above `after` once, in order, without end; None on every idle second.

        Raises:
            RevisionConflict: changes above `after` are no longer kept, or the store was set back
                below or beside `after`: load again.
            StoreUnavailable: the store can't be reached. Load again afterwards: it may come back
                without its last changes.
        """
        token = self._seen[1] if self._seen[0] == after else b""
        log = NumberedLog(self._client, self._keys.revision, self._keys.changes, _WHAT)
        async with aclosing(log.follow(after, token)) as entries:
            async for entry in entries:
                if entry is None:
                    yield None
                    continue
                self._seen = (entry.number, entry.token)
                yield _change(entry)


def commit_arguments(change: Change, token: bytes) -> list[bytes | str | int]:
    """Return a change of configuration as `commit_change` takes it. token: of this commit."""
    field, value = _resource(change)
    payload = change_to_message(change).SerializeToString()
    return [change.revision, token, field, value, payload, KEPT_CHANGES, *_history(change)]


def conflict(revision: int, wanted: int) -> RevisionConflict:
    """Return the error of a change that met a store at another revision than it needs."""
    return RevisionConflict(
        f"the configuration is at revision {revision}, not {wanted}: "
        "somebody changed it; read it again and repeat the change"
    )


def _resource(change: Change) -> tuple[str, bytes]:
    """Return the field of the resource that a change concerns, and its value; b"" deletes it."""
    match change:
        case FlagChange(key=key, flag=flag):
            value = b"" if flag is None else flag_to_message(flag).SerializeToString()
            return _FLAG + key, value
        case SegmentChange(key=key, segment=segment):
            value = b"" if segment is None else segment_to_message(segment).SerializeToString()
            return _SEGMENT + key, value
        case HoldoutChange(ppm=ppm):
            return _HOLDOUT, str(ppm).encode()


def _history(change: Change) -> list[str]:
    """Return the names under which a change is remembered: of a flag and of its variants."""
    if not isinstance(change, FlagChange) or change.flag is None:
        return []
    return [change.key, *(_variant_name(change.key, each.key) for each in change.flag.variants)]


def _variant_name(flag: FlagKey, variant: VariantKey) -> str:
    return f"{flag}/{variant}"


def _snapshot(revision: int, resources: Mapping[bytes, bytes]) -> Snapshot:
    flags, segments, holdout_ppm = [], [], 0
    for field, value in sorted(resources.items()):
        if field.startswith(_FLAG.encode()):
            flags.append(flag_from_message(flag_pb2.Flag.FromString(value)))
        elif field.startswith(_SEGMENT.encode()):
            segments.append(segment_from_message(segment_pb2.Segment.FromString(value)))
        else:
            holdout_ppm = int(value)
    return Snapshot(
        Revision(revision),
        {flag.key: flag for flag in flags},
        {segment.key: segment for segment in segments},
        holdout_ppm,
    )


def _pairs(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


def _change(entry: LogEntry) -> Change:
    payload = entry.fields[7]
    message = assignment_service_pb2.FlagChange.FromString(payload)
    return change_from_message(message, _raise)


def _raise(error: WireError) -> None:
    raise error
