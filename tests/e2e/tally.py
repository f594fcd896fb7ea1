"""What was acknowledged against what is aggregated: counts and sums by variant and outcome."""

import time
from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

import grpc

from tests.e2e.calls import report

EXPOSURE, DROPPED = "", "dropped events"
POLL_SECONDS = 0.1

Tally: TypeAlias = Counter[tuple[str, str, str]]
"""By variant, outcome (or EXPOSURE, or DROPPED) and "count" or "sum". Values are whole numbers."""


def add(tally: Tally, variant: str, outcome: str, value: float) -> None:
    """Count one event."""
    tally[variant, outcome, "count"] += 1
    tally[variant, outcome, "sum"] += int(value)


def total(tally: Tally) -> int:
    """Return the number of events."""
    return sum(figure for (_, _, what), figure in tally.items() if what == "count")


def joined(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of several tallies."""
    return sum(tallies, Tally())


def aggregated(address: str, flag: str) -> Tally:
    """Return what the report on a flag says."""
    found = Tally()
    for variant in report(address, flag).variants:
        found[variant.variant, DROPPED, "count"] = variant.dropped_events
        found[variant.variant, EXPOSURE, "count"] = variant.exposures
        found[variant.variant, EXPOSURE, "sum"] = variant.exposures
        for outcome in variant.outcomes:
            assert outcome.sum.is_integer()
            found[variant.variant, outcome.outcome, "count"] = outcome.count
            found[variant.variant, outcome.outcome, "sum"] = int(outcome.sum)
    return found


def await_aggregated(address: str, flag: str, acknowledged: Tally, seconds: float = 60) -> None:
    """Wait until the report says exactly what was acknowledged."""
    deadline = time.monotonic() + seconds
    while (found := _answer(address, flag)) != acknowledged:
        excess = found - acknowledged
        assert not excess, f"counted and never acknowledged: {dict(excess)}"
        assert time.monotonic() < deadline, f"acknowledged and not counted: {acknowledged - found}"
        time.sleep(POLL_SECONDS)


def _answer(address: str, flag: str) -> Tally:
    """Return what the report says; nothing where the server has yet to find its store."""
    try:
        return aggregated(address, flag)
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return Tally()
