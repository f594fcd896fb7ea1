"""What flags said at earlier revisions."""

from collections.abc import Sequence

from tidegate.model import FlagChange, FlagKey, Revision
from tidegate_server.errors import NotFound
from tidegate_server.ports import ConfigStore


class FlagHistory:
    """Reads the revisions of flags that are kept, also of flags that were deleted."""

    def __init__(self, store: ConfigStore) -> None:
        self._store = store

    async def revisions(
        self, key: FlagKey, after: Revision | None, limit: int
    ) -> tuple[Sequence[FlagChange], bool]:
        """Return up to `limit` (>= 1) revisions, the latest first, and whether there are more.

        after: the last one of the page before; None: from the latest on.

        Raises:
            NotFound: nothing is known of such a flag.
            StoreUnavailable: the store can't be reached.
        """
        found = list(await self._store.flag_history(key, after, limit + 2))
        if after is None and not found:
            raise NotFound(f"flag {key!r} is not known: no change of it is kept")
        if after is not None and found and found[0].revision == after:
            del found[0]
        return found[:limit], len(found) > limit
