"""How a peer is timed: it waits for a line, does one round, and answers with a line of JSON.

So it takes turns with us and with the other peers. Nothing but the standard library: this runs in
every peer's environment.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence

Answer = tuple[float, float, float]
"""Treatment less control, with the ends of its interval."""

Work = Callable[[], Sequence[Answer]]
"""Compares all metrics."""


def serve(work: Work) -> None:
    """Do rounds until standard input ends. A line says how many calls a round has."""
    for line in sys.stdin:
        nanoseconds, answers = time_round(work, int(line))
        print(json.dumps([nanoseconds, answers]), flush=True)


def time_round(work: Work, calls: int) -> tuple[float, Sequence[Answer]]:
    """Return nanoseconds a call, and the last answers."""
    answers: Sequence[Answer] = ()
    begun = time.perf_counter_ns()
    for _ in range(calls):
        answers = work()
    return (time.perf_counter_ns() - begun) / calls, answers
