"""Who watches the flags of this process, and what they were last sent."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tidegate.model import Revision


class Watcher:
    """One stream of flags. revision: what it was last sent; 0: nothing yet."""

    __slots__ = ("client_name", "revision")

    def __init__(self, client_name: str) -> None:
        self.client_name = client_name
        self.revision = Revision(0)


class Watchers:
    """The watchers that there are."""

    def __init__(self) -> None:
        self._all: set[Watcher] = set()

    @contextmanager
    def one_more(self, client_name: str) -> Iterator[Watcher]:
        """Count a watcher during the block, which keeps its revision up to date."""
        watcher = Watcher(client_name)
        self._all.add(watcher)
        try:
            yield watcher
        finally:
            self._all.remove(watcher)

    def counts(self) -> Mapping[tuple[Revision, str], int]:
        """Return how many there are by revision, the latest first, and name; from any thread."""
        counts = Counter((each.revision, each.client_name) for each in tuple(self._all))
        return dict(sorted(counts.items(), key=lambda item: (-item[0][0], item[0][1])))
