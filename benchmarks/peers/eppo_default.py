"""Eppo as it is by default: assignments are logged, and the logger does nothing."""

from benchmarks.peers import eppo
from benchmarks.peers.peer import FLAG, Peer

DISTRIBUTION = eppo.DISTRIBUTION


def load() -> Peer:
    get, close = eppo.client_with(eppo.NoLog())
    return Peer(
        quiet=lambda unit: get(FLAG, unit, {}, ""),
        recording=None,
        how="quiet: logged, and the logger does nothing, as by default",
        close=close,
    )
