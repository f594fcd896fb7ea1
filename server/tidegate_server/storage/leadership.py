"""Which controller leads, by a lease in Redis: the port Leadership."""

from redis.asyncio import Redis

from tidegate_server.ports import Fence
from tidegate_server.storage.client import Script, run
from tidegate_server.storage.keys import ExperimentKeys

_LEAD = Script.named("lead")
_STOP = Script.named("stop_leading")


class RedisLeadership:
    """One environment's lease. Times are the store's own, so that no clock of a controller counts.

    A token outlives its lease: it counts until another controller takes the lease. It is given out
    once `wait_replicas` replicas of the store know of it: after a fail-over it is not given out
    again.
    """

    def __init__(self, client: Redis, environment: str, *, wait_replicas: int = 0) -> None:
        self._client = client
        self._wait_replicas = wait_replicas
        self._key = ExperimentKeys(environment).leader

    async def acquire(self, controller: str, seconds: float) -> Fence | None:
        """Take the lease, or keep it, for so long (> 0); None while another holds it.

        A controller that holds it keeps its token; whoever takes it anew gets a higher one.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        fence = await run(
            self._client,
            _LEAD,
            [self._key],
            [controller, max(1, round(seconds * 1_000))],
            replicas=self._wait_replicas,
        )
        return None if fence is None else Fence(fence)

    async def release(self, controller: str) -> None:
        """Give the lease up, if it is this controller's.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        await run(self._client, _STOP, [self._key], [controller])
