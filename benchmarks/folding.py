"""Folding of a run: what a worker does with decoded events before it writes."""

import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.measure import print_table
from tidegate.model import FlagKey, Phase, VariantKey
from tidegate_server.domain.events import Arm, Events, Series
from tidegate_server.worker.fold import fold, fold_windows

EVENTS = 100_000
ROUNDS = 15
OUTCOMES = ("", "latency_ms", "error", "rating", "cost_usd")


def run(*, long: bool) -> None:
    """Measure CPU time, and print events per second. long: no difference."""
    del long
    events = sample()
    arms = fold(events, {})
    ways: dict[str, Callable[[], object]] = {
        "numpy: count and total of each series and cell": lambda: floor(events),
        "cells, moments, histograms, units": lambda: fold(events, arms),
        "the same and windows": lambda: (fold(events, arms), fold_windows(events)),
    }
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            begun = time.process_time_ns()
            work()
            rounds[name].append((time.process_time_ns() - begun) / EVENTS)
    rows = []
    for name, nanoseconds in rounds.items():
        each = statistics.median(nanoseconds)
        target = "4.0" if name == "the same and windows" else ""
        rows.append((name, f"{each:.0f}", f"{1000 / each:.1f}", target))
    title = f"Fold of {EVENTS:,} events, {len(events.series)} series, five seconds; one core"
    print_table(title, ("", "ns an event", "M events/s", "at least"), rows)


def sample() -> Events:
    """Return events of as many units, in four arms."""
    rng = np.random.default_rng(1)
    arms = [Arm(FlagKey("chat"), Phase(1), VariantKey(f"v{number}")) for number in range(4)]
    series = tuple(Series(arm, outcome) for arm in arms for outcome in OUTCOMES)
    return Events(
        series,
        rng.integers(0, len(series), EVENTS),
        rng.integers(0, 2**64, EVENTS, dtype=np.uint64),
        1_790_000_000_000 + rng.integers(0, 5_000, EVENTS),
        rng.lognormal(4, 1, EVENTS),
        {},
    )


def floor(events: Events) -> tuple[object, object]:
    """Count and add up by series and cell: the least that a fold must do."""
    place = events.series_index * 256 + (events.unit_hash >> np.uint64(56)).astype(np.int64)
    return np.bincount(place), np.bincount(place, weights=events.value)
