"""Administration of flags: every change is one commit at the next revision."""

import asyncio
from collections.abc import Callable, Sequence

from tidegate.model import Change, Flag, FlagKey, Revision, Snapshot, SplitShare
from tidegate_server.domain import flags as rules
from tidegate_server.domain.allocation import Move, moves
from tidegate_server.errors import AlreadyExists, NotFound, RevisionConflict, StoreUnavailable
from tidegate_server.ports import Clock, ConfigStore
from tidegate_server.services.config_feed import ConfigFeed

COMMIT_SECONDS = 5
"""How long a change may take, with all attempts when others commit first."""

Edit = Callable[[Snapshot, Revision], Change]


class Flags:
    """Creates, reads and changes flags.

    A change is computed from what this process knows and committed only if the store still stands
    there; otherwise it is computed again from the newer state. The answer comes after this process
    knows the change itself, so that who writes and then reads sees what was written.
    """

    def __init__(self, store: ConfigStore, feed: ConfigFeed, clock: Clock) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock

    @property
    def snapshot(self) -> Snapshot:
        """All flags, at the revision that this process has reached."""
        return self._feed.snapshot

    def get(self, key: FlagKey) -> Flag:
        """Return a flag.

        Raises:
            NotFound: there is none by this key.
        """
        return _existing(self._feed.snapshot, key)

    async def create(self, draft: Flag) -> Flag:
        """Store a new flag.

        Raises:
            InvalidField: the draft breaks a rule.
            AlreadyExists: there is a flag by this key.
        """

        def edit(snapshot: Snapshot, revision: Revision) -> Change:
            if draft.key in snapshot.flags:
                raise AlreadyExists(f"flag {draft.key!r} exists: update it, or choose another key")
            return Change(revision, draft.key, rules.created(draft, revision, self._clock.now()))

        return _flag(await self._commit(edit))

    async def update(self, draft: Flag) -> Flag:
        """Replace what a flag says. A draft's revision other than 0 must be the flag's.

        Raises:
            InvalidField: the draft breaks a rule, or changes what is immutable.
            NotFound, RevisionConflict
        """

        def edit(snapshot: Snapshot, revision: Revision) -> Change:
            current = _existing(snapshot, draft.key)
            return Change(
                revision, draft.key, rules.updated(current, draft, revision, self._clock.now())
            )

        return _flag(await self._commit(edit))

    async def update_split(
        self, key: FlagKey, split: Sequence[SplitShare], revision: int = 0
    ) -> tuple[Flag, tuple[Move, ...]]:
        """Change the split alone; return the flag and the shares that changed hands.

        Raises:
            InvalidField: the split breaks a rule.
            NotFound, RevisionConflict
        """
        moved: tuple[Move, ...] = ()

        def edit(snapshot: Snapshot, next_revision: Revision) -> Change:
            nonlocal moved
            current = _existing(snapshot, key)
            rules.expect_revision(current, revision)
            flag = rules.with_split(current, split, next_revision, self._clock.now())
            moved = moves(current.allocation, flag.allocation)
            return Change(next_revision, key, flag)

        return _flag(await self._commit(edit)), moved

    async def delete(self, key: FlagKey, revision: int = 0) -> Revision:
        """Delete a flag; return the revision that did it.

        Raises:
            NotFound, RevisionConflict
        """

        def edit(snapshot: Snapshot, next_revision: Revision) -> Change:
            rules.expect_revision(_existing(snapshot, key), revision)
            return Change(next_revision, key, None)

        return (await self._commit(edit)).revision

    async def _commit(self, edit: Edit) -> Change:
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                while True:
                    snapshot = self._feed.snapshot
                    change = edit(snapshot, Revision(snapshot.revision + 1))
                    committed = await self._try_commit(change)
                    await self._feed.reach(change.revision)
                    if committed:
                        return change
        except TimeoutError:
            raise StoreUnavailable(
                f"the change was not confirmed within {COMMIT_SECONDS} s: "
                "read the flag to see whether it was made, then try again"
            ) from None

    async def _try_commit(self, change: Change) -> bool:
        try:
            await self._store.commit(change)
        except RevisionConflict:
            return False  # somebody else made this revision; ours is computed anew
        return True


def _existing(snapshot: Snapshot, key: FlagKey) -> Flag:
    if key not in snapshot.flags:
        raise NotFound(f"flag {rules.unknown(key, snapshot.flags)}")
    return snapshot.flags[key]


def _flag(change: Change) -> Flag:
    if change.flag is None:
        raise AssertionError(f"{change} stores no flag")
    return change.flag
