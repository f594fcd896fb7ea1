"""Section `peers`: the same flag in other systems' Python SDKs, in process."""

import importlib
import importlib.metadata
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from benchmarks.assigning import NEW, SPLIT, floors, plain
from benchmarks.clients import client_of
from benchmarks.flag_server import flag_server
from benchmarks.measure import Candidate, Timing, Work, print_table, time_all
from benchmarks.peers.peer import Choose, Peer, check

PEERS = (
    "eppo",
    "eppo_default",
    "statsig",
    "launchdarkly",
    "growthbook",
    "unleash",
    "flagd",
    "flagsmith",
    "configcat",
    "optimizely",
)
OURS = "tidegate"


def run(*, long: bool) -> None:
    """Measure and print; a peer that is not there, or fails, is shown with the reason."""
    logging.disable(logging.CRITICAL)
    peers: dict[str, Peer] = {}
    missing: dict[str, str] = {}
    for name in PEERS:
        try:
            peers[name] = load(name)
        except Exception as error:  # noqa: BLE001 - any failure of another's SDK is a line of the table
            missing[name] = f"{type(error).__name__}: {error}"
    with ExitStack() as stack:
        address = stack.enter_context(flag_server(0))
        quiet = stack.enter_context(client_of(address))
        exposing = stack.enter_context(client_of(address, record_exposures=True))
        for peer in peers.values():
            stack.callback(peer.close)
        candidates = [
            *(floor for floor in floors() if floor.name in (SPLIT, NEW)),
            Candidate(f"{OURS} quiet", plain(quiet)),
            Candidate(f"{OURS} recording", plain(exposing), prepare=partial(exposing.flush, 30)),
        ]
        for name, peer in peers.items():
            candidates.append(Candidate(f"{name} quiet", each(peer.quiet)))
            if peer.recording is not None:
                candidates.append(Candidate(f"{name} recording", each(peer.recording)))
        timings = time_all(candidates, units, rounds=15)
    logging.disable(logging.NOTSET)
    report(peers, missing, timings)


def load(name: str) -> Peer:
    """Load one peer, and see that it splits."""
    peer: Peer = importlib.import_module(f"benchmarks.peers.{name}").load()
    check(peer.quiet)
    if peer.recording is not None:
        check(peer.recording)
    return peer


def each(choose: Choose) -> Work:
    """Return what calls a peer once for each unit."""

    def work(units: Sequence[str]) -> None:
        for unit in units:
            choose(unit)

    return work


def units(number: int) -> list[str]:
    """Return fewer units than for ourselves: peers take longer."""
    return [f"user-{number * 1_000 + index}" for index in range(1_000)]


def report(peers: dict[str, Peer], missing: dict[str, str], timings: dict[str, Timing]) -> None:
    """Print times and how many times ours they are."""
    rows = [line("floor", timings.get(SPLIT), timings.get(NEW), timings, "")]
    for name in (OURS, *peers):
        quiet, recording = timings.get(f"{name} quiet"), timings.get(f"{name} recording")
        how = "deduplicated, queued" if name == OURS else peers[name].how
        rows.append(line(label(name), quiet, recording, timings, how))
    rows += [(label(name), "-", "", "-", "", reason) for name, reason in missing.items()]
    columns = ("", "quiet", "× ours", "exposure", "× ours", "what an exposure is")
    print_table("ns a call: a 50/50 split, a new unit with every call", columns, rows)


def line(
    name: str, quiet: Timing | None, recording: Timing | None, timings: dict[str, Timing], how: str
) -> tuple[str, ...]:
    """Return one row."""
    cells: list[str] = []
    for timing, ours in ((quiet, f"{OURS} quiet"), (recording, f"{OURS} recording")):
        cells += (
            [f"{timing.median:,.0f}", f"{timing.ratio_to(timings[ours]):.1f}"]
            if timing
            else ["not in process", ""]
        )
    return (name, *cells, how)


def label(name: str) -> str:
    """Return a peer's package and version."""
    if name == OURS:
        return OURS
    try:
        module = importlib.import_module(f"benchmarks.peers.{name}")
    except ImportError:
        return name
    return f"{module.DISTRIBUTION} {importlib.metadata.version(module.DISTRIBUTION)}"
