"""How configuration is changed: every change is one commit at the next revision."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

from tidegate.model import Change, Revision, Snapshot
from tidegate_server.errors import RevisionConflict, StoreUnavailable
from tidegate_server.ports import Clock, ConfigStore
from tidegate_server.services.config_feed import ConfigFeed

COMMIT_SECONDS = 5
"""How long a change may take, with all attempts when others commit first."""

C = TypeVar("C", bound=Change)


@asynccontextmanager
async def confirmed_in_time() -> AsyncIterator[None]:
    """End a change, with all its attempts, after COMMIT_SECONDS.

    Raises:
        StoreUnavailable: it was not confirmed by then.
    """
    try:
        async with asyncio.timeout(COMMIT_SECONDS):
            yield
    except TimeoutError:
        raise StoreUnavailable(
            f"the change was not confirmed within {COMMIT_SECONDS} s: "
            "read what was to be changed to see whether it was, then try again"
        ) from None


class Commits:
    """Makes changes to what this process knows.

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
        """Everything, at the revision that this process has reached."""
        return self._feed.snapshot

    async def commit(self, edit: Callable[[Snapshot, Revision, datetime], C]) -> C:
        """Commit the change that `edit` makes of a snapshot, the next revision and the time.

        Raises:
            StoreUnavailable: the change was not confirmed; it may or may not be made.
            TidegateServerError: whatever `edit` raises; nothing was changed.
        """
        async with confirmed_in_time():
            while True:
                snapshot = self._feed.snapshot
                change = edit(snapshot, Revision(snapshot.revision + 1), self._clock.now())
                committed = await self._try_commit(change)
                await self._feed.reach(change.revision)
                if committed:
                    return change

    async def _try_commit(self, change: Change) -> bool:
        try:
            await self._store.commit(change)
        except RevisionConflict:
            return False  # somebody else made this revision; ours is computed anew
        return True
