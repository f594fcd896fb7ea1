"""Windows in Redis, read: one hash for each arm, resolution and chunk of time."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from redis.asyncio import Redis

from tidegate_server.analysis.windows import Resolution, Windows
from tidegate_server.domain.events import Arm
from tidegate_server.storage.client import Script, run, store_errors
from tidegate_server.storage.keys import ShardKeys
from tidegate_server.storage.window_codec import CHUNK, decode_windows, fields_of

_LOAD = Script.named("load_windows")


async def load_windows(
    client: Redis, keys: ShardKeys, wanted: Mapping[tuple[Arm, Resolution], Windows]
) -> dict[tuple[Arm, Resolution], Windows]:
    """Return what a shard holds of the wanted windows, in one round trip.

    Raises:
        StoreUnavailable: the store can't be reached.
    """
    places: list[tuple[Arm, Resolution, int, list[str]]] = []
    for (arm, resolution), windows in wanted.items():
        fields: dict[int, list[str]] = {}
        for chunk, field in fields_of(windows):
            fields.setdefault(chunk, []).append(field)
        places += [(arm, resolution, chunk, names) for chunk, names in fields.items()]
    with store_errors(client):
        pipeline = client.pipeline(transaction=False)
        for arm, resolution, chunk, names in places:
            pipeline.hmget(keys.windows(arm, resolution, chunk), names)
        replies: list[Any] = await pipeline.execute() if places else []
    found: dict[tuple[Arm, Resolution], dict[int, dict[bytes, bytes | None]]] = {
        each: {} for each in wanted
    }
    for (arm, resolution, chunk, names), values in zip(places, replies, strict=True):
        encoded = (name.encode() for name in names)
        found[arm, resolution][chunk] = dict(zip(encoded, values, strict=True))
    return {each: decode_windows(each[1], chunks) for each, chunks in found.items()}


async def read_windows(
    client: Redis,
    keys: ShardKeys,
    arms: Iterable[Arm],
    resolution: Resolution,
    start_ms: int,
    end_ms: int,
) -> dict[Arm, Windows]:
    """Return a shard's windows of these arms that begin in [start_ms, end_ms).

    Raises:
        StoreUnavailable: the store can't be reached.
    """
    first = -(-start_ms // resolution.length_ms)
    last = -(-end_ms // resolution.length_ms) - 1
    chunks = range(first // CHUNK[resolution], last // CHUNK[resolution] + 1)

    async def read_arm(arm: Arm) -> Windows:
        names = [keys.windows(arm, resolution, chunk) for chunk in chunks]
        replies = await asyncio.gather(
            *(
                _read_chunk(client, name, first - chunk * size, last - chunk * size, size)
                for name, chunk in zip(names, chunks, strict=True)
            )
        )
        return decode_windows(resolution, dict(zip(chunks, replies, strict=True)))

    size = CHUNK[resolution]
    wanted = list(arms)
    found = await asyncio.gather(*(read_arm(arm) for arm in wanted))
    return {arm: windows for arm, windows in zip(wanted, found, strict=True) if windows.count.size}


async def _read_chunk(
    client: Redis, name: str, first: int, last: int, size: int
) -> dict[bytes, bytes]:
    """Return the fields of the windows [first, last] of a chunk of `size` windows."""
    if first <= 0 and last >= size - 1:
        with store_errors(client):
            fields: Any = await client.hgetall(name)
        return dict(fields)
    flat: list[bytes] = await run(client, _LOAD, [name], [max(first, 0), last])
    return dict(zip(flat[::2], flat[1::2], strict=True))
