"""The store's clock: the port SharedClock."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from tidegate_server.storage.client import store_errors


class StoreClock:
    """The store's time as it was last read, carried on by a monotonic clock of this machine.

    Whatever the clocks of machines say, controllers that follow each other then agree on how long
    something has lasted, and with the windows and lags that the store's time is in. monotonic: in
    seconds.
    """

    def __init__(self, client: Redis, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._epoch: datetime | None = None

    async def read(self) -> None:
        """Ask the store for the time; it is as late by then as the answer took.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        with store_errors(self._client):
            seconds, microseconds = await self._client.time()
        moment = datetime.fromtimestamp(int(seconds), UTC)
        moment += timedelta(microseconds=int(microseconds))
        self._epoch = moment - timedelta(seconds=self._monotonic())

    def now(self) -> datetime:
        """Return the present moment.

        Raises:
            RuntimeError: `read` has not been called.
        """
        if self._epoch is None:
            raise RuntimeError("read the clock first")
        return self._epoch + timedelta(seconds=self._monotonic())
