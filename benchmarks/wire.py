"""Section `wire`: batches of events encoded, decoded and checked, and how large they are."""

import secrets
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.flags import PLAIN
from benchmarks.measure import print_table
from tidegate.evaluation import CompiledSnapshot
from tidegate.event_batch import Event, encode_batch
from tidegate.model import Revision, Snapshot
from tidegate.v1 import event_service_pb2
from tidegate_server.domain.events import Events
from tidegate_server.domain.intake import Times, sift
from tidegate_server.wire.batch import decode, decode_batch

EVENTS = 500
ROUNDS = 41
REPEATS = 20
OUTCOMES = ("", "latency_ms", "error", "rating")


def run(*, long: bool) -> None:
    """Measure and print."""
    events = sample()
    rows = []
    for ids in (False, True):
        payload = encode_batch(secrets.token_bytes(16), events, {}, send_unit_ids=ids).payload
        ways: dict[str, Callable[[], object]] = {
            "encoded by the SDK": lambda: encode_batch(bytes(16), events, {}, send_unit_ids=ids),  # noqa: B023
            "decoded and checked (server)": lambda: checked(payload),  # noqa: B023
            "decoded and checked (worker)": lambda: decode_batch(payload),  # noqa: B023
            "decoded by the generated class": lambda: by_generated_class(payload),  # noqa: B023
        }
        kind = "with ids" if ids else "without ids"
        for name, figure in measure(ways).items():
            rows.append((f"{name}, {kind}", f"{figure:,.0f}", f"{figure * EVENTS / 1e3:,.0f}"))
        rows.append((f"bytes an event, {kind}", f"{len(payload) / EVENTS:.1f}", ""))
    print_table(
        f"batches of {EVENTS} events, ids of 17 characters, none repeated "
        f"(medians of {ROUNDS} rounds; targets: ≤ 30 bytes an event, with ids ≤ 50)",
        ("", "ns an event", "µs a batch"),
        rows,
    )


def measure(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return nanoseconds an event of each way: all in turn, medians of the rounds."""
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            begun = time.perf_counter_ns()
            for _ in range(REPEATS):
                work()
            rounds[name].append((time.perf_counter_ns() - begun) / REPEATS / EVENTS)
    return {name: statistics.median(figures) for name, figures in rounds.items()}


def sample() -> Sequence[Event]:
    """Return events of as many units, of two variants and four outcomes."""
    compiled = CompiledSnapshot(Snapshot(Revision(1), {PLAIN.key: PLAIN}))
    now = time.time()
    units = [f"user-{number:012}" for number in range(EVENTS)]
    return [
        (
            compiled.evaluate(PLAIN.key, unit).given,
            OUTCOMES[index % len(OUTCOMES)],
            unit,
            now - 1 + index / EVENTS,
            1.0,
        )
        for index, unit in enumerate(units)
    ]


def checked(payload: bytes) -> object:
    """What the server does with a batch, where it knows all arms, before it is appended."""
    batch = decode(payload)
    unknown = [""] * len(batch.sent.arms)
    return sift(batch.sent, unknown, batch.wrong_unit_ids(), Times())


def by_generated_class(payload: bytes) -> Events:
    """Read the columns through the message class: the floor of a server that has no other way."""
    message = event_service_pb2.EventBatch.FromString(payload)
    count = len(message.values)
    offsets = np.fromiter(message.time_offsets_ms, np.int64, count)
    return Events(
        series=(),
        series_index=np.fromiter(message.series_indexes, np.int64, count),
        unit_hash=np.fromiter(message.unit_hashes, np.uint64, count),
        time_ms=offsets + message.base_time_ms,
        value=np.fromiter(message.values, np.float64, count),
        dropped={},
    )
