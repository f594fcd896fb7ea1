"""What a store says of itself, for `tidegate doctor`."""

import time
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tidegate_server.domain.diagnosis import StoreState
from tidegate_server.storage.client import store_errors


async def inspect_store(client: Redis) -> StoreState:
    """Return the state of a store: from INFO, and from CONFIG where that is allowed.

    Raises:
        StoreUnavailable: it can't be reached.
    """
    with store_errors(client):
        before = time.time()
        seconds, microseconds = await client.time()
        here = (before + time.time()) / 2
        info: Mapping[str, Any] = await client.info()
        fsync, save = await _configured(client, "appendfsync"), await _configured(client, "save")
    valkey = info.get("valkey_version")
    return StoreState(
        product="valkey" if valkey else "redis",
        version=str(valkey or info["redis_version"]),
        skew_seconds=seconds + microseconds / 1e6 - here,
        append_only=bool(info["aof_enabled"]),
        append_only_healthy=info.get("aof_last_write_status", "ok") == "ok",
        snapshots_healthy=info.get("rdb_last_bgsave_status", "ok") == "ok",
        fsync=fsync,
        save=save,
        used_memory=int(info["used_memory"]),
        maxmemory=int(info.get("maxmemory", 0)),
        eviction=str(info["maxmemory_policy"]),
        replicas=int(info.get("connected_slaves", 0)),
    )


async def _configured(client: Redis, name: str) -> str | None:
    """Return a setting of the store; None where CONFIG is not allowed, as in managed ones."""
    try:
        values: Mapping[Any, Any] = await client.config_get(name)
    except ResponseError:
        return None
    return values.get(name)
