"""Section `batch`: assign_many beside a loop over mmh3.hash, on ids in an Arrow array."""

import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import mmh3
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.flags import PLAIN
from benchmarks.measure import print_table
from tidegate_server.batch import assign_many

Strings = NDArray[Any]

CHUNK = 1_000_000
ROUNDS = 5


def run(*, long: bool) -> None:
    """Measure and print."""
    rows = []
    for name, make, count in KINDS:
        column = pa.chunked_array([pa.array(chunk) for chunk in make(count)])
        rows.append((name, f"{count:,}", *measure(column)))
    columns = ("ids", "number", "assign_many", "mmh3 loop", "ratio", "loop from Arrow", "ratio")
    print_table("ns an id, from an Arrow array (target of the first ratio: >= 4)", columns, rows)
    print_table(
        "ns an id, from numpy arrays of 1,000,000 sequential ids",
        ("array", "assign_many"),
        [(name, f"{time_of(array):,.1f}") for name, array in arrays()],
    )


def measure(column: pa.ChunkedArray) -> tuple[str, ...]:
    """Return the figures of one row: all ways in turn, medians of the rounds."""
    texts = column.chunk(0).to_pylist()
    ours, loops, from_arrow = [], [], []
    for _ in range(ROUNDS):
        ours.append(timed(lambda: assign_many(PLAIN, column)) / len(column))
        loops.append(timed(lambda: hash_all(texts)) / len(texts))
        from_arrow.append(timed(lambda: hash_all(column.chunk(0).to_pylist())) / len(texts))
    return (
        f"{statistics.median(ours):,.1f}",
        f"{statistics.median(loops):,.1f}",
        f"{statistics.median(a / b for a, b in zip(loops, ours, strict=True)):.1f}",
        f"{statistics.median(from_arrow):,.1f}",
        f"{statistics.median(a / b for a, b in zip(from_arrow, ours, strict=True)):.1f}",
    )


def hash_all(texts: list[str]) -> None:
    """The floor: the hash alone, nothing kept."""
    prefix, hash32 = f"{PLAIN.salt}:", mmh3.hash
    for text in texts:
        hash32(prefix + text, 0, False)


def timed(work: Callable[[], object]) -> int:
    """Return the nanoseconds of one call."""
    begun = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - begun


def time_of(array: Strings) -> float:
    """Return nanoseconds an id, the median of some calls."""
    return (
        statistics.median(timed(lambda: assign_many(PLAIN, array)) for _ in range(ROUNDS)) / CHUNK
    )


def numbers(count: int) -> Iterator[list[str]]:
    """Sequential ids."""
    for begin in range(0, count, CHUNK):
        yield [f"user-{number}" for number in range(begin, min(begin + CHUNK, count))]


def uuids(count: int) -> Iterator[list[str]]:
    """Random UUIDs."""
    rng = random.Random(1)
    yield [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(count)]


def mails(count: int) -> Iterator[list[str]]:
    """E-mail addresses of many lengths."""
    rng = random.Random(2)
    names = ("ann", "bob", "christopher", "elizabeth", "zoe")
    yield [f"{rng.choice(names)}.{rng.randrange(10**6)}@example.com" for _ in range(count)]


KINDS = (
    ("sequential, user-1234567", numbers, 10_000_000),
    ("UUIDs", uuids, 1_000_000),
    ("e-mail addresses", mails, 1_000_000),
)


def arrays() -> Iterator[tuple[str, Strings]]:
    """Arrays of numpy, of each kind that holds strings."""
    texts = next(numbers(CHUNK))
    yield "fixed width (<U12)", np.array(texts)
    yield "objects", np.array(texts, object)
    yield "StringDType", np.array(texts, np.dtypes.StringDType())
