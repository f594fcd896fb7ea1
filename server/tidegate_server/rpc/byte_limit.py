"""Bounds what a server takes in at one time."""

from collections.abc import Iterator
from contextlib import contextmanager

from tidegate_server.errors import ServerBusy

MOST_BYTES = 64 << 20
_RETRY_SECONDS = 0.2


class ByteLimit:
    """The bytes of the calls under way in this process, at most `most_bytes` (>= 1).

    A single call always finds room.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count `size` bytes as under way during the block.

        Raises:
            ServerBusy: there is no room for them.
        """
        if self._bytes and self._bytes + size > self._most_bytes:
            raise ServerBusy(
                f"this server has {self._bytes / (1 << 20):,.1f} MB of batches under way and takes "
                f"no more than {self._most_bytes / (1 << 20):,.1f} MB: send it again, or run more "
                "servers",
                retry_after=_RETRY_SECONDS,
            )
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
