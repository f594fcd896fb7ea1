"""How a call is timed: all candidates in turn, several rounds, medians."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

ROUNDS = 7

Work = Callable[[Sequence[str]], None]
"""Does something with every unit id of a sequence."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Nanoseconds a call: the median of the rounds, and the fastest of them."""

    median: float
    best: float


def time_all(candidates: Mapping[str, Work], units: Sequence[str]) -> dict[str, Timing]:
    """Time every candidate on the same units, in turn, so that noise meets all alike."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, work in candidates.items():
                begun = time.perf_counter_ns()
                work(units)
                samples[name].append((time.perf_counter_ns() - begun) / len(units))
                gc.collect()
    finally:
        gc.enable()
    return {
        name: Timing(statistics.median(values), min(values)) for name, values in samples.items()
    }


def show(title: str, timings: Mapping[str, Timing], floors: Mapping[str, str]) -> None:
    """Print a table; `floors` names, for a candidate, the floor it is compared with."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for column in ("ns a call", "best", "ratio to its floor"):
        table.add_column(column, justify="right")
    for name, timing in timings.items():
        floor = timings.get(floors.get(name, ""))
        ratio = f"{timing.median / floor.median:.2f}" if floor else ""
        table.add_row(name, f"{timing.median:,.0f}", f"{timing.best:,.0f}", ratio)
    Console().print(table)
