"""Batches, aggregates and flags for the tests of storage and worker."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from tidegate.model import (
    Allocation,
    Flag,
    FlagKey,
    Phase,
    Revision,
    SplitShare,
    Variant,
    VariantKey,
)
from tidegate.v1 import event_service_pb2
from tidegate_server.analysis.aggregates import (
    BITMAP_BITS,
    CELLS,
    GROUPS,
    ArmAggregate,
    Cells,
    Histogram,
    OutcomeAggregate,
)
from tidegate_server.analysis.windows import Resolution, Windows, windows_of
from tidegate_server.domain.events import START, Arm, Offset
from tidegate_server.ports import Fold, Rejected

TIME_MS = 1_760_000_000_000


def arm(variant: str = "v1", phase: int = 1, flag: str = "chat-model") -> Arm:
    return Arm(FlagKey(flag), Phase(phase), VariantKey(variant))


def series(outcome: str, of: Arm) -> event_service_pb2.Series:
    return event_service_pb2.Series(
        flag_key=of.flag, variant=of.variant, phase=of.phase, outcome=outcome
    )


def message(
    outcomes: Mapping[str, Sequence[float]],
    *,
    of: Arm | None = None,
    batch_id: bytes | None = None,
    dropped: int = 0,
) -> event_service_pb2.EventBatch:
    """A batch of one arm: values by outcome, each of another unit."""
    of = of or arm()
    values = [value for column in outcomes.values() for value in column]
    indexes = [i for i, column in enumerate(outcomes.values()) for _ in column]
    hashes = np.random.default_rng(7).integers(0, 1 << 64, len(values), np.uint64)
    batch = event_service_pb2.EventBatch(
        batch_id=secrets.token_bytes(16) if batch_id is None else batch_id,
        series=[series(outcome, of) for outcome in outcomes],
        base_time_ms=TIME_MS,
        series_indexes=indexes,
        unit_hashes=hashes.tolist(),
        time_offsets_ms=list(range(len(values))),
        values=values,
    )
    if dropped:
        batch.dropped_events.add(
            flag_key=of.flag, variant=of.variant, phase=of.phase, count=dropped
        )
    return batch


def random_arm(rng: np.random.Generator, outcomes: Sequence[str] = ("latency_ms",)) -> ArmAggregate:
    """An aggregate with something in every row."""
    return ArmAggregate(
        units=rng.integers(0, 256, (GROUPS, BITMAP_BITS // 8), np.uint8),
        exposures=int(rng.integers(1, 1000)),
        dropped=int(rng.integers(0, 1000)),
        first_ms=TIME_MS,
        last_ms=TIME_MS + 5,
        outcomes={name: random_outcome(rng) for name in outcomes},
    )


def fold_of(
    after: Mapping[Arm, ArmAggregate] | None = None,
    *,
    start: str = START,
    end: str = "1-0",
    size: int = 0,
    before: Mapping[Arm, ArmAggregate] | None = None,
    windows: Mapping[tuple[Arm, Resolution], Windows] | None = None,
    rejected: Sequence[Rejected] = (),
) -> Fold:
    """What a run changes: arms that were empty, if `before` does not say otherwise."""
    after = after or {}
    before = before or {each: ArmAggregate.empty() for each in after}
    return Fold(Offset(start), Offset(end), size, before, after, windows or {}, rejected)


def some_windows(start_ms: int = TIME_MS) -> dict[tuple[Arm, Resolution], Windows]:
    """Two windows of ten seconds of one arm, with three events."""
    windows = windows_of(
        ("", "latency_ms"),
        np.array([0, 1, 1]),
        start_ms + np.array([0, 0, 10_000]),
        np.array([1.0, 5.0, 8.0]),
    )
    return {(arm(), Resolution.TEN_SECONDS): windows}


def random_outcome(rng: np.random.Generator, width: int = 20) -> OutcomeAggregate:
    counts = rng.integers(0, 3, (GROUPS, width))
    return OutcomeAggregate(
        Cells(rng.integers(1, 99, CELLS), rng.normal(size=CELLS), rng.random(CELLS)),
        Histogram(int(rng.integers(-50, 50)), counts),
    )


def assert_same(left: ArmAggregate, right: ArmAggregate) -> None:
    """Compare bit for bit; empty outer columns of a histogram have no meaning."""
    assert np.array_equal(left.units, right.units)
    assert (left.exposures, left.dropped) == (right.exposures, right.dropped)
    assert (left.first_ms, left.last_ms) == (right.first_ms, right.last_ms)
    assert left.outcomes.keys() == right.outcomes.keys()
    for name, outcome in left.outcomes.items():
        other = right.outcomes[name]
        assert np.array_equal(outcome.cells.count, other.cells.count)
        assert np.array_equal(outcome.cells.total, other.cells.total)
        assert np.array_equal(outcome.cells.m2, other.cells.m2)
        assert bins(outcome.histogram) == bins(other.histogram)


def bins(histogram: Histogram) -> dict[tuple[int, int], int]:
    """The counts that are not zero, by group and bin."""
    rows, columns = np.nonzero(histogram.counts)
    return {
        (int(row), int(column) + histogram.lowest): int(histogram.counts[row, column])
        for row, column in zip(rows, columns, strict=True)
    }


def flag(key: str = "chat-model", revision: int = 1) -> Flag:
    return Flag(
        key=FlagKey(key),
        variants=(Variant(VariantKey("v1"), {"model": "a"}), Variant(VariantKey("v2"), {"n": 2})),
        default=VariantKey("v1"),
        split=(SplitShare(VariantKey("v1"), 250_000), SplitShare(VariantKey("v2"), 750_000)),
        salt=key,
        allocation=Allocation((0, 1 << 30), (VariantKey("v1"), VariantKey("v2"))),
        phase=Phase(1),
        revision=Revision(revision),
        create_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        update_time=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
    )
