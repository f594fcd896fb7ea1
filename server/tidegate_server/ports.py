"""What the server needs of the outside world: implemented in `storage`, chosen in `bootstrap`.

Every method may raise `StoreUnavailable`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tidegate.model import Change, FlagKey, Revision, Snapshot
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.domain.events import Arm, BatchId, Offset, Shard


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...


class ConfigStore(Protocol):
    """Flags and revisions of one environment."""

    async def load(self) -> Snapshot:
        """Return everything, as of one moment."""
        ...

    async def load_past(self, revision: Revision) -> Snapshot:
        """Return everything as it was at an earlier revision.

        Raises:
            NotFound: there was no such revision, or the changes since then are no longer kept.
        """
        ...

    async def commit(self, change: Change) -> None:
        """Store `change` in one atomic step if the store stands at `change.revision` - 1.

        Raises:
            RevisionConflict: it stands elsewhere; nothing was changed.
        """
        ...

    def changes(self, after: Revision) -> AsyncIterator[Change | None]:
        """Yield each change above `after` once, in order, without end; None on every idle second.

        Raises:
            RevisionConflict: changes above `after` are no longer kept: load again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored batch: its position and the bytes that were appended."""

    offset: Offset
    payload: bytes


class EventLog(Protocol):
    """Sharded streams of event batches."""

    @property
    def shards(self) -> Sequence[Shard]:
        """All shards."""
        ...

    async def append(self, batch_id: BatchId, payload: bytes) -> bool:
        """Store a batch and remember its id in one atomic step; False if it was there already.

        Raises:
            StoreFull: the shard's stream is at its limit; nothing was stored.
        """
        ...

    async def read(self, shard: Shard, after: Offset, limit: int) -> Sequence[Entry]:
        """Return up to `limit` entries after `after`, waiting up to a second for the first."""
        ...


class AggregateStore(Protocol):
    """Live aggregates, and how far each shard has been folded into them."""

    async def offset(self, shard: Shard) -> Offset:
        """Return the position up to which the shard is folded; START at first."""
        ...

    async def load(self, shard: Shard, arm: Arm) -> ArmAggregate:
        """Return one arm's aggregate in one shard; empty if there is none."""
        ...

    async def commit(
        self,
        shard: Shard,
        *,
        start: Offset,
        end: Offset,
        before: Mapping[Arm, ArmAggregate],
        after: Mapping[Arm, ArmAggregate],
        rejected: Sequence[Entry] = (),
    ) -> bool:
        """Replace aggregates and offset in one atomic step, if the offset still is `start`.

        `before` and `after` have the same arms; only what differs is written. Entries up to `end`
        are released from the stream; `rejected` ones, which could not be read, are set aside.
        Returns False, with nothing written, if another worker was there first.
        """
        ...

    async def read(self, flag: FlagKey) -> Mapping[Arm, ArmAggregate]:
        """Return all arms of a flag, merged over the shards."""
        ...
