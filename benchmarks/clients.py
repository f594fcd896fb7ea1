"""Clients for measuring: connected, and with a queue that is delivered between the rounds only."""

from collections.abc import Iterator
from contextlib import contextmanager

import tidegate


@contextmanager
def client_of(address: str, *, record_exposures: bool = False) -> Iterator[tidegate.Client]:
    """Connect a client and wait until it has flags."""
    with tidegate.Client(
        address,
        record_exposures=record_exposures,
        queue_size=1_000_000,
        batch_size=10_000,
        flush_interval=60,
    ) as client:
        assert client.wait_ready(30), f"no flags from {address}"
        yield client
