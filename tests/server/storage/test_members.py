from datetime import timedelta

from redis.asyncio import Redis

from tidegate_server.domain.events import WorkerId
from tidegate_server.storage.keys import ConfigKeys
from tidegate_server.storage.members import RedisMembers

A, B = WorkerId("a"), WorkerId("b")


async def test_those_that_beat_live(client: Redis, environment: str) -> None:
    members = RedisMembers(client, environment)
    assert await members.living() == []
    assert await members.beat(B) == [B]
    assert await members.beat(A) == [A, B]
    assert await members.beat(A) == [A, B]
    await members.leave(B)
    assert await members.living() == [A]
    await members.leave(B)
    assert await RedisMembers(client, f"{environment}-other").living() == []


async def test_the_silent_are_forgotten(client: Redis, environment: str) -> None:
    members = RedisMembers(client, environment, silence=timedelta(minutes=1))
    await members.beat(A)
    await members.beat(B)
    await client.zincrby(ConfigKeys(environment).workers, -59_000, A)
    assert await members.living() == [A, B]
    await client.zincrby(ConfigKeys(environment).workers, -1_001, A)
    assert await members.living() == [B]
    assert await client.zcard(ConfigKeys(environment).workers) == 1
    assert await members.beat(A) == [A, B]
