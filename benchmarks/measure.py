"""How a call is timed: all candidates in turn, several rounds, medians."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

ROUNDS = 61
UNITS = 2_000
"""Calls of each candidate in a round: few, so that a round fits between what else the machine does.
"""

Work = Callable[[Sequence[str]], object]
"""Does something with every unit id of a sequence."""


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something to time. `prepare` is called before each round, outside of the time.

    `floor` names the candidate that it is compared with, and `target` the ratio that it may reach.
    """

    name: str
    work: Work
    floor: str = ""
    target: str = ""
    prepare: Callable[[], object] = nothing


@dataclass(slots=True)
class Timing:
    """Nanoseconds a call, one number a round."""

    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median round."""
        return statistics.median(self.rounds)

    @property
    def best(self) -> float:
        """The fastest round."""
        return min(self.rounds)

    def ratio_to(self, floor: "Timing") -> float:
        """Return the median of the rounds' ratios: what slows a whole round down cancels out."""
        return statistics.median(a / b for a, b in zip(self.rounds, floor.rounds, strict=True))


def fresh_units(number: int) -> list[str]:
    """Return the ids of one round; no other round has the same."""
    return [f"user-{number * UNITS + index}" for index in range(UNITS)]


def time_all(
    candidates: Sequence[Candidate],
    units_of: Callable[[int], Sequence[str]] = fresh_units,
    rounds: int = ROUNDS,
) -> dict[str, Timing]:
    """Time every candidate on the same units, in turn; a first round is not counted."""
    timings = {candidate.name: Timing() for candidate in candidates}
    for number in range(rounds + 1):
        units = units_of(number)
        gc.collect()
        gc.disable()
        for candidate in candidates:
            candidate.prepare()
            begun = time.perf_counter_ns()
            candidate.work(units)
            spent = time.perf_counter_ns() - begun
            if number:
                timings[candidate.name].rounds.append(spent / len(units))
        gc.enable()
    return timings


def show(title: str, candidates: Sequence[Candidate], timings: Mapping[str, Timing]) -> None:
    """Print what was measured."""
    rows = []
    for candidate in candidates:
        timing, floor = timings[candidate.name], timings.get(candidate.floor)
        ratio = f"{timing.ratio_to(floor):.2f}" if floor else ""
        figures = (f"{timing.median:,.0f}", f"{timing.best:,.0f}", ratio, candidate.target)
        rows.append((candidate.name, *figures))
    print_table(title, ("", "ns a call", "best", "ratio to its floor", "target"), rows)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text; all columns but the first are figures."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)
