"""What the server needs of the outside world: implemented in `storage`, chosen in `bootstrap`.

Every method may raise `StoreUnavailable`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType, Protocol

from tidegate.model import Change, FlagChange, FlagKey, Revision, Snapshot, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.windows import Resolution, Windows
from tidegate_server.domain.events import Arm, BatchId, Offset, Reader, Shard, WorkerId
from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import (
    Decision,
    Experiment,
    NumberedDecision,
    Seen,
)
from tidegate_server.domain.replicas.replica import Fleet, Replica, ReplicaId, Report


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...


class SharedClock(Clock, Protocol):
    """Tells the store's time, which is one for all processes that have it."""

    async def read(self) -> None:
        """Ask the store; `now` goes on from there, and must not be called before."""
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

    async def flag_history(
        self, key: FlagKey, at: Revision | None, limit: int
    ) -> Sequence[FlagChange]:
        """Return what a flag became at its last `limit` (>= 1) revisions, the latest first.

        at: begin with this revision; None: with the latest. Where the changes reach back no
        further, the last is what the flag said before them, at that revision; of a flag that has
        not changed since, that is all.
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

    async def read(self, flag: FlagKey, *, first_phase: int = 0) -> Mapping[Arm, ArmAggregate]:
        """Return a flag's arms, merged over the shards. first_phase: none of earlier ones."""
        ...

    async def read_windows(
        self,
        flag: FlagKey,
        resolution: Resolution,
        start_ms: int,
        end_ms: int,
        *,
        first_phase: int = 0,
    ) -> Mapping[Arm, Windows]:
        """Return the windows of a flag's arms that begin in [start_ms, end_ms), over all shards.

        Arms without such windows are left out, and those of phases before `first_phase`.
        """
        ...


Fence = NewType("Fence", int)
"""A fencing token: rises with every change of leader."""


class Leadership(Protocol):
    """Which of an environment's controllers leads: one at a time, by a lease."""

    async def acquire(self, controller: str, seconds: float) -> Fence | None:
        """Take the lease, or keep it, for so long; None while another holds it.

        A controller that holds it keeps its token; whoever takes it anew gets a higher one.
        """
        ...

    async def release(self, controller: str) -> None:
        """Give the lease up, if it is this controller's."""
        ...


@dataclass(frozen=True, slots=True)
class ExperimentCommit:
    """What one step changes, in one atomic step.

    experiment: as it is afterwards; it must be stored at `experiment.version` - 1 (0: not at all).
    change: of its flag's split, in the same step; None: none. fence: of the controller; None for
    what a person asked for. seen: by the look that led to it. revision: of the configuration that
    the step was decided by, which must be the present one; None: any.
    """

    experiment: Experiment
    change: FlagChange | None = None
    decisions: Sequence[Decision] = ()
    fence: Fence | None = None
    seen: Seen | None = None
    revision: Revision | None = None


class ExperimentStore(Protocol):
    """Experiments of one environment with their logs."""

    async def load(self) -> Mapping[ExperimentKey, Experiment]:
        """Return all experiments, as of one moment."""
        ...

    async def get(self, key: ExperimentKey) -> Experiment:
        """Return one experiment.

        Raises:
            NotFound: there is none by this key.
        """
        ...

    async def commit(self, commit: ExperimentCommit) -> None:
        """Store a step: experiment, split, decisions and look, all or nothing.

        A decision is also queued for the plan's notifications. An experiment that is active
        afterwards holds its flag.

        Raises:
            VersionConflict: the experiment stands elsewhere; nothing was changed.
            RevisionConflict: the configuration stands elsewhere; nothing was changed.
            FencedOff: another controller leads; nothing was changed.
            InUse: another active experiment holds the flag; nothing was changed.
            StoreUnavailable: no reply arrived: it may or may not be stored. Load to see.
        """
        ...

    async def delete(self, key: ExperimentKey, version: int) -> None:
        """Delete an experiment with its logs, if it stands at `version`.

        Raises:
            NotFound, VersionConflict
        """
        ...

    async def decisions(
        self, key: ExperimentKey, after: int, limit: int
    ) -> Sequence[NumberedDecision]:
        """Return up to `limit` decisions with numbers above `after`, in order."""
        ...

    async def looks(self, key: ExperimentKey, after_ms: int, most: int) -> Sequence[Seen]:
        """Return what looks after this time saw, by time: those that are kept.

        Of more than `most` (>= 1) some are left out evenly, but never the last one.
        """
        ...

    def changes(self) -> AsyncIterator[ExperimentKey | None]:
        """Yield the key of each experiment that changes from now on; None on every idle second.

        Load after the first item; a key may come more than once, or for no change.

        Raises:
            RevisionConflict: changes were missed: follow, and load, again.
        """
        ...


class Progress(StrEnum):
    """What came of something outside."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What came of one check or hook. why: in words, where it did not pass."""

    progress: Progress
    why: str
    time: datetime


class GateResults(Protocol):
    """What came of checks and hooks, by experiment and name of the gate."""

    async def load(self, key: ExperimentKey) -> Mapping[str, GateResult]:
        """Return all results of an experiment."""
        ...

    async def note(self, key: ExperimentKey, gate: str, result: GateResult, fence: Fence) -> None:
        """Store one result.

        Raises:
            FencedOff: another controller leads; nothing was changed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A decision that is to be told to one of its plan's addresses.

    id: of the queue. number: the decision's. target: index into the plan's notifications.
    """

    id: str
    experiment: ExperimentKey
    number: int
    target: int


class Outbox(Protocol):
    """Decisions that are still to be told."""

    async def pending(self, limit: int) -> Sequence[Message]:
        """Return the oldest messages that are not done."""
        ...

    async def done(self, message: Message) -> None:
        """Forget a message: it was delivered, or given up."""
        ...


class ReplicaStore(Protocol):
    """Replicas of one environment. A replica's times are the store's."""

    async def load(self) -> Fleet:
        """Return all replicas, as of one moment."""
        ...

    async def register(self, replica: Replica) -> Replica:
        """Add a replica, or replace what it says; its order, failures and drain are kept."""
        ...

    async def heartbeat(self, replica: ReplicaId, report: Report) -> Replica:
        """Note that a replica lives, and what it says.

        Raises:
            NotFound: there is none by this name.
        """
        ...

    async def drain(self, replica: ReplicaId, *, undo: bool = False) -> Replica:
        """Take a replica out of traffic, for a person; or put it back, and forget its failures.

        Raises:
            NotFound: there is none by this name.
        """
        ...

    async def deregister(self, replica: ReplicaId) -> None:
        """Forget a replica, if it is there."""
        ...

    async def order(self, replicas: Sequence[Replica], fence: Fence) -> None:
        """Store the orders and failures of these replicas; those that are gone are left out.

        Raises:
            FencedOff: another controller leads; nothing was changed.
        """
        ...

    def follow(self, seconds: float) -> AsyncGenerator[Fleet | None, None]:
        """Yield all replicas as they are, anew when one changes, and after `seconds` at the latest.

        Many changes may make one. None on every idle second.
        """
        ...
