"""Section `analysis`: a full look at live aggregates, and sums per unit of raw rows."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.measure import print_table
from tidegate.model import FlagKey, Phase, VariantKey
from tidegate_server.analysis.aggregates import ArmAggregate
from tidegate_server.analysis.samples import fold_units
from tidegate_server.domain.comparisons import Comparison, Phases, comparisons
from tidegate_server.domain.events import Arm, Events, Series
from tidegate_server.worker.fold import fold

ROUNDS = 15
PHASES = 4
OUTCOMES = ("cost_usd", "latency_ms", "tokens")
ROWS, UNITS = 10_000_000, 500_000


def run(*, long: bool) -> None:
    """Measure and print."""
    arms = [{Phase(n): live(4 * arm + n) for n in range(1, PHASES + 1)} for arm in (0, 1)]
    first = [{Phase(1): each[Phase(1)]} for each in arms]
    figures = f"{len(look(first))} statistics of live cells, fixed and always valid"
    rng = np.random.default_rng(3)
    unit = rng.integers(0, UNITS, ROWS)
    columns = {name: rng.lognormal(size=ROWS) for name in ("a", "b", "c", "d")}
    ways: Mapping[str, tuple[Callable[[], object], int]] = {
        f"a full look: {figures}": (lambda: look(first), 20),
        f"the same, combined from {PHASES} phases": (lambda: look(arms), 5),
        f"numpy.bincount: {ROWS:,} rows, {UNITS:,} units, four sums": (
            lambda: by_bincount(unit, columns),
            1,
        ),
        "fold_units: the same, checked": (lambda: fold_units(unit, columns, UNITS), 1),
    }
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (work, repeats) in ways.items():
            begun = time.thread_time()
            for _ in range(repeats):
                work()
            rounds[name].append((time.thread_time() - begun) / repeats)
    rows = [(name, f"{statistics.median(each) * 1e6:,.0f}") for name, each in rounds.items()]
    print_table("µs of processor time a call, medians", ("", "µs"), rows)
    floor, ours = list(rounds.values())[-2:]
    ratio = statistics.median(a / b for a, b in zip(ours, floor, strict=True))
    print(f"fold_units against bincount: {ratio:.2f} (target 1.3); a full look: target 5,000 µs")


def look(arms: Sequence[Phases]) -> list[Comparison]:
    """Compare two variants on everything that is kept of them."""
    control, treated = arms
    return list(comparisons(VariantKey("v2"), control, treated, ()))


def by_bincount(unit: np.ndarray, columns: Mapping[str, np.ndarray]) -> list[object]:
    """Add up by unit."""
    sums = [np.bincount(unit, weights=each, minlength=UNITS) for each in columns.values()]
    return [np.bincount(unit, minlength=UNITS), *sums]


def live(seed: int) -> ArmAggregate:
    """Return the aggregate of an arm: 200,000 events of 20,000 units."""
    rng = np.random.default_rng(seed)
    arm = Arm(FlagKey("chat"), Phase(1), VariantKey("v"))
    series = tuple(Series(arm, outcome) for outcome in OUTCOMES)
    units = rng.integers(0, 1 << 64, 20_000, dtype=np.uint64)
    count = 200_000
    events = Events(
        series,
        rng.integers(0, len(series), count),
        rng.choice(units, count),
        1_790_000_000_000 + rng.integers(0, 5_000, count),
        rng.lognormal(4, 1, count),
        {},
    )
    return fold(events, {})[arm]
