"""What the server needs of the outside world: implemented in `storage`, chosen in `bootstrap`.

Every method may raise `StoreUnavailable`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tidegate.model import Change, FlagKey, Phase, Revision, Snapshot, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.windows import Resolution, Windows
from tidegate_server.domain.events import Arm, BatchId, Offset, Reader, Shard, WorkerId


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Had:
    """What an environment has or ever had, of that which was asked for.

    revision: the present one.
    """

    revision: Revision
    flags: frozenset[FlagKey]
    variants: frozenset[tuple[FlagKey, VariantKey]]


class ConfigStore(Protocol):
    """Flags and revisions of one environment."""

    async def load(self) -> Snapshot:
        """Return everything, as of one moment."""
        ...

    async def had(self, variants: Sequence[tuple[FlagKey, VariantKey]]) -> Had:
        """Return which of these variants (at least one) the environment has, or ever had."""
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


def entry_bytes(payload: bytes) -> int:
    """Return the bytes that an entry takes in the store, about."""
    return len(payload) + 128


def arrival_ms(offset: Offset) -> int:
    """Return when the entry at this position arrived, by the store's clock, in ms since 1970."""
    return int(offset.partition("-")[0])


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a shard's stream holds at one moment.

    entries: those that a reader is not done with, >= 0. bytes_ahead: what each reader has still
    before it, >= 0; FOLD is among them. age_seconds: of the oldest entry that is not folded, by the
    store's clock, >= 0; 0 if all are.
    """

    entries: int
    bytes_ahead: Mapping[Reader, int]
    age_seconds: float


class EventLog(Protocol):
    """Sharded streams of event batches.

    Any number of readers follow them, each at its own pace; what all are done with is released.
    """

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

    async def join(self, shard: Shard, reader: Reader) -> Offset:
        """Return how far a reader is; a new one begins with the oldest entry held.

        From then on nothing is released before it has advanced.
        """
        ...

    async def read(self, shard: Shard, after: Offset, limit: int) -> Sequence[Entry]:
        """Return up to `limit` entries after `after`, waiting up to a second for the first."""
        ...

    async def advance(
        self, shard: Shard, reader: Reader, *, start: Offset, entries: Sequence[Entry]
    ) -> bool:
        """Note that a reader is done with `entries` (at least one), which follow `start`.

        Returns False, with nothing changed, if the reader is not at `start`.
        """
        ...

    async def leave(self, shard: Shard, reader: Reader) -> None:
        """Forget a reader other than FOLD, if it is there: it holds nothing back any more.

        Raises:
            ValueError: FOLD can't leave: it would count everything anew.
        """
        ...

    async def backlog(self, shard: Shard) -> Backlog:
        """Return what a shard's stream holds."""
        ...


class Members(Protocol):
    """The workers that live: those that have said so in the last seconds."""

    async def beat(self, worker: WorkerId) -> Sequence[WorkerId]:
        """Note that a worker lives; return all that do, that one included, sorted."""
        ...

    async def leave(self, worker: WorkerId) -> None:
        """Forget a worker at once."""
        ...


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that could not be folded, and why."""

    entry: Entry
    reason: str


@dataclass(frozen=True, slots=True)
class Fold:
    """What a run of entries of one shard changes.

    start, end: offsets before and after. size: bytes that the entries take in the store.
    before, after: aggregates of the arms that the run touched; both have the same arms.
    windows: all windows that the run touched, as they are after it.
    rejected: entries that could not be folded, which are set aside.
    """

    start: Offset
    end: Offset
    size: int
    before: Mapping[Arm, ArmAggregate]
    after: Mapping[Arm, ArmAggregate]
    windows: Mapping[tuple[Arm, Resolution], Windows]
    rejected: Sequence[Rejected] = ()


class AggregateStore(Protocol):
    """Live aggregates, and how far each shard has been folded into them."""

    async def offset(self, shard: Shard) -> Offset:
        """Return the position up to which the shard is folded; START at first."""
        ...

    async def load(self, shard: Shard, arm: Arm) -> ArmAggregate:
        """Return one arm's aggregate in one shard; empty if there is none."""
        ...

    async def load_windows(
        self, shard: Shard, wanted: Mapping[tuple[Arm, Resolution], Windows]
    ) -> Mapping[tuple[Arm, Resolution], Windows]:
        """Return what a shard holds of the wanted windows, whose figures do not matter."""
        ...

    async def commit(self, shard: Shard, fold: Fold) -> bool:
        """Write what a fold changes in one atomic step, if the offset still is `fold.start`.

        Of the aggregates only what differs is written; windows that are past their retention are
        not. The reader FOLD is then done with the entries, and those that could not be
        folded are set aside.
        Returns False, with nothing written, if another worker was there first.
        """
        ...

    async def read(
        self, flag: FlagKey, *, phase: Phase | None = None
    ) -> Mapping[Arm, ArmAggregate]:
        """Return all arms of a flag, or those of one phase, merged over the shards."""
        ...

    async def read_windows(
        self, flag: FlagKey, resolution: Resolution, start_ms: int, end_ms: int
    ) -> Mapping[Arm, Windows]:
        """Return the windows of a flag's arms that begin in [start_ms, end_ms), over all shards.

        Arms without such windows are left out.
        """
        ...
