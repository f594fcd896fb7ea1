"""The configuration as this process knows it: one copy, kept current, shared by all who ask."""

from collections.abc import Awaitable, Callable

from tidegate.evaluation import CompiledSnapshot
from tidegate.model import Change, Revision, Snapshot
from tidegate_server.ports import ConfigStore
from tidegate_server.services.feed import Feed


class ConfigFeed(Feed[Change]):
    """Follows the configuration; its position is the revision.

    Until the first load `snapshot` is empty. When the store comes or goes, `on_connected` is
    awaited.
    """

    def __init__(self, store: ConfigStore, on_connected: Callable[[bool], Awaitable[None]]) -> None:
        super().__init__()
        self._store = store
        self._on_connected = on_connected
        self._compiled = CompiledSnapshot(Snapshot(Revision(0)))

    @property
    def connected(self) -> bool:
        """Whether the store answered the last time."""
        return self._connected

    @property
    def compiled(self) -> CompiledSnapshot:
        """The snapshot in the form that evaluates units."""
        return self._compiled

    @property
    def snapshot(self) -> Snapshot:
        """All flags, at the revision that this process has reached."""
        return self._compiled.snapshot

    @property
    def position(self) -> Revision:
        """The revision that this process has reached."""
        return self.snapshot.revision

    async def compiled_at(self, revision: int) -> CompiledSnapshot:
        """Return the configuration as it was at `revision` (>= 0); 0 stands for the present one.

        Raises:
            NotFound: there was no such revision, or what leads back to it is no longer kept.
            StoreUnavailable: the store can't be reached.
        """
        if revision in (0, self.snapshot.revision):
            return self.compiled
        return CompiledSnapshot(await self._store.load_past(Revision(revision)))

    async def follow(self) -> None:
        """Load the configuration, and follow it."""
        snapshot = await self._store.load()
        anew = snapshot != self.snapshot
        if anew:
            self._compiled = CompiledSnapshot(snapshot)
        await self.load_done(anew=anew)
        async for change in self._store.changes(snapshot.revision):
            if self.ended:
                return
            if change is not None:
                self._compiled = self._compiled.apply(change)
                self.publish(change)

    async def note_connected(self, *, connected: bool) -> None:
        """Tell that the store came or went."""
        await self._on_connected(connected)
