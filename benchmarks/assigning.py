"""Section `assign`: assign and track, beside their floors."""

from collections.abc import Sequence
from functools import partial

import tidegate
from benchmarks.clients import client_of
from benchmarks.flag_server import flag_server
from benchmarks.flags import ATTRIBUTES, PLAIN, RULED
from benchmarks.floors import Floor, rules
from benchmarks.measure import Candidate, Work, show, time_all

SPLIT, RULES = "floor: flag, hash, bisect, prebuilt result", "floor: the same behind three rules"
NEW, KNOWN = "floor: with dedupe and enqueue, first time", "floor: with dedupe, repeated"
TRACK = "floor: an event into a deque"


def run(*, long: bool) -> None:
    """Measure and print."""
    with (
        flag_server(0) as address,
        client_of(address) as quiet,
        client_of(address, record_exposures=True) as exposing,
    ):
        candidates = [*floors(), *ours(quiet, exposing)]
        show("assign and track", candidates, time_all(candidates))


def floors() -> list[Candidate]:
    """Return the floors."""
    floor, ruled_floor = Floor([PLAIN]), Floor([RULED], rules())
    given = (object(), "user-of-track")

    def assign(units: Sequence[str]) -> None:
        for unit in units:
            floor.assign("plain", unit)

    def by_rules(units: Sequence[str]) -> None:
        for unit in units:
            ruled_floor.assign_by_rules("ruled", unit, ATTRIBUTES)

    def exposed(units: Sequence[str]) -> None:
        for unit in units:
            floor.assign_exposed("plain", unit)

    def track(units: Sequence[str]) -> None:
        for _ in units:
            floor.track("latency_ms", 12.5, given)

    return [
        Candidate(SPLIT, assign),
        Candidate(RULES, by_rules),
        Candidate(NEW, exposed, prepare=floor.events.clear),
        Candidate(KNOWN, exposed),
        Candidate(TRACK, track, prepare=floor.events.clear),
    ]


def ours(quiet: tidegate.Client, exposing: tidegate.Client) -> list[Candidate]:
    """Return the client's calls; `quiet` records no exposures."""
    delivered = partial(exposing.flush, 30)
    assignment = exposing.assign("plain", "user-of-track")
    return [
        Candidate("assign", plain(quiet), SPLIT, "<= 1.5"),
        Candidate("assign, three rules", ruled(quiet), RULES, "<= 1.5"),
        Candidate("assign, exposure, first time", plain(exposing), NEW, "<= 1.3", delivered),
        Candidate("assign, exposure, repeated", plain(exposing), KNOWN, "<= 1.3"),
        Candidate("assign, three rules, exposure, first time", ruled(exposing), "", "", delivered),
        Candidate("assign, three rules, exposure, repeated", ruled(exposing)),
        Candidate("client.track", tracked(exposing, assignment), TRACK, "< 1,500 ns", delivered),
        Candidate("assignment.track", tracked_on(assignment), TRACK, "< 1,500 ns", delivered),
    ]


def plain(client: tidegate.Client) -> Work:
    """Return what assigns a flag without rules."""

    def work(units: Sequence[str]) -> None:
        for unit in units:
            client.assign("plain", unit)

    return work


def ruled(client: tidegate.Client) -> Work:
    """Return what assigns a flag with three rules."""

    def work(units: Sequence[str]) -> None:
        for unit in units:
            client.assign("ruled", unit, ATTRIBUTES)

    return work


def tracked(client: tidegate.Client, assignment: tidegate.Assignment) -> Work:
    """Return what reports an outcome by the client."""

    def work(units: Sequence[str]) -> None:
        for _ in units:
            client.track("latency_ms", 12.5, assignment)

    return work


def tracked_on(assignment: tidegate.Assignment) -> Work:
    """Return what reports an outcome by its assignment."""

    def work(units: Sequence[str]) -> None:
        for _ in units:
            assignment.track(latency_ms=12.5)

    return work
