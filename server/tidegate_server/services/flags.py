"""Administration of flags."""

from collections.abc import Sequence
from datetime import datetime

from tidegate.model import Flag, FlagChange, FlagKey, Revision, Snapshot, SplitShare
from tidegate_server.domain import flags as rules
from tidegate_server.domain.allocation import Move, moves
from tidegate_server.domain.checks import expect_revision, unknown
from tidegate_server.errors import AlreadyExists, NotFound
from tidegate_server.services.commits import Commits


class Flags:
    """Creates, reads and changes flags; every change may raise what `Commits.commit` raises."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    @property
    def snapshot(self) -> Snapshot:
        """All flags, at the revision that this process has reached."""
        return self._commits.snapshot

    def get(self, key: FlagKey) -> Flag:
        """Return a flag.

        Raises:
            NotFound: there is none by this key.
        """
        return _existing(self.snapshot, key)

    async def create(self, draft: Flag) -> Flag:
        """Store a new flag.

        Raises:
            InvalidField: the draft breaks a rule.
            AlreadyExists: there is a flag by this key.
        """

        def edit(snapshot: Snapshot, revision: Revision, now: datetime) -> FlagChange:
            if draft.key in snapshot.flags:
                raise AlreadyExists(f"flag {draft.key!r} exists: update it, or choose another key")
            flag = rules.created(draft, snapshot, revision, now)
            return FlagChange(revision, draft.key, flag)

        return _flag(await self._commits.commit(edit))

    async def update(self, draft: Flag) -> Flag:
        """Replace what a flag says. A draft's revision other than 0 must be the flag's.

        Raises:
            InvalidField: the draft breaks a rule, or changes what is immutable.
            NotFound, RevisionConflict
        """

        def edit(snapshot: Snapshot, revision: Revision, now: datetime) -> FlagChange:
            current = _existing(snapshot, draft.key)
            flag = rules.updated(current, draft, snapshot, revision, now)
            return FlagChange(revision, draft.key, flag)

        return _flag(await self._commits.commit(edit))

    async def update_split(
        self, key: FlagKey, split: Sequence[SplitShare], revision: int = 0
    ) -> tuple[Flag, tuple[Move, ...]]:
        """Change the split alone; return the flag and the shares that changed hands.

        Raises:
            InvalidField: the split breaks a rule.
            NotFound, RevisionConflict
        """
        moved: tuple[Move, ...] = ()

        def edit(snapshot: Snapshot, next_revision: Revision, now: datetime) -> FlagChange:
            nonlocal moved
            current = _existing(snapshot, key)
            expect_revision(current, revision)
            flag = rules.with_split(current, split, next_revision, now)
            moved = moves(current.allocation, flag.allocation)
            return FlagChange(next_revision, key, flag)

        return _flag(await self._commits.commit(edit)), moved

    async def delete(self, key: FlagKey, revision: int = 0) -> Revision:
        """Delete a flag; return the revision that did it.

        Raises:
            InUse: it is a prerequisite of another flag.
            NotFound, RevisionConflict
        """

        def edit(snapshot: Snapshot, next_revision: Revision, _: datetime) -> FlagChange:
            rules.check_deletable(_existing(snapshot, key), snapshot, revision)
            return FlagChange(next_revision, key, None)

        return (await self._commits.commit(edit)).revision


def _existing(snapshot: Snapshot, key: FlagKey) -> Flag:
    if key not in snapshot.flags:
        raise NotFound(f"flag {unknown(key, snapshot.flags)}")
    return snapshot.flags[key]


def _flag(change: FlagChange) -> Flag:
    if change.flag is None:
        raise AssertionError(f"{change} stores no flag")
    return change.flag
