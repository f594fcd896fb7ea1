"""Values that are kept current."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from tidegate_server.dashboard import feeds
from tidegate_server.dashboard.feeds import BUG, Feed, Followed, Polled
from tidegate_server.errors import TidegateServerError


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - the feed's own tasks bring it about
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "LINGER_SECONDS", 0.05)


def test_listeners_are_told_of_changes_and_of_nothing_else() -> None:
    feed: Feed[str] = Feed()
    told: list[int] = []
    leave = feed.listen(lambda: told.append(1))
    value = "a"
    feed.publish(value)
    feed.publish(value)
    assert len(told) == 1
    assert feed.freshness.live
    feed.fail("gone")
    feed.fail("gone")
    assert (len(told), feed.value, feed.freshness.live) == (2, "a", False)
    heard = feed.freshness.heard
    feed.publish(value)
    assert len(told) == 3, "it is current again"
    assert feed.freshness.heard is not None
    assert heard is not None
    assert feed.freshness.heard >= heard
    leave()
    leave()
    feed.publish("b")
    assert len(told) == 3


async def test_the_first_value_is_waited_for_but_not_for_long() -> None:
    feed: Feed[str] = Feed()
    assert await feed.first(0.01) is None
    asyncio.get_running_loop().call_later(0.01, feed.publish, "a")
    assert await feed.first(5) == "a"
    failing: Feed[str] = Feed()
    asyncio.get_running_loop().call_later(0.01, failing.fail, "no server")
    assert await failing.first(5) is None


async def test_questions_are_asked_while_somebody_listens() -> None:
    asked = 0

    async def fetch(before: int | None) -> int:
        nonlocal asked
        asked += 1
        return (before or 0) + 1

    feed = Polled(fetch, 0.001)
    assert not feed.ended
    leave, other = feed.listen(lambda: None), feed.listen(lambda: None)
    await until(lambda: feed.value is not None and feed.value > 3)
    leave()
    await until(lambda: feed.value is not None and feed.value > 6)
    other()
    await until(lambda: feed.ended)
    seen = asked
    await asyncio.sleep(0.02)
    assert asked == seen
    leave = feed.listen(lambda: None)
    await until(lambda: asked > seen)
    feed.close()
    await until(lambda: feed.ended)
    leave()


async def test_who_comes_back_soon_finds_the_value_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "LINGER_SECONDS", 30.0)
    asked = 0

    async def fetch(_: int | None) -> int:
        nonlocal asked
        asked += 1
        return asked

    feed = Polled(fetch, 0.001)
    feed.listen(lambda: None)()
    await until(lambda: asked > 5)
    feed.close()


async def test_a_question_that_fails_is_asked_again() -> None:
    answers: list[Exception | int] = [1, TidegateServerError("no answer"), ValueError("a bug"), 2]

    async def fetch(_: int | None) -> int:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    feed = Polled(fetch, 0.005)
    problems: list[str] = []
    feed.listen(lambda: problems.append(feed.freshness.problem))
    await until(lambda: feed.value == 2)
    assert problems == ["", "no answer", BUG, ""]
    feed.close()


async def test_a_stream_that_ends_is_begun_again() -> None:
    begun = 0

    async def read() -> AsyncGenerator[str | None, None]:
        nonlocal begun
        begun += 1
        yield None
        value = f"value {begun}"
        yield value
        yield value
        if begun == 2:
            raise TidegateServerError("cut")
        if begun == 3:
            raise RuntimeError("a bug")
        if begun == 4:
            await asyncio.Event().wait()

    feed = Followed(read)
    said: list[tuple[str | None, str]] = []
    feed.listen(lambda: said.append((feed.value, feed.freshness.problem)))
    running = asyncio.create_task(feed.run())
    await until(lambda: feed.value == "value 4")
    assert said == [
        ("value 1", ""),
        ("value 1", "the server has ended the stream"),
        ("value 2", ""),
        ("value 2", "cut"),
        ("value 3", ""),
        ("value 3", BUG),
        ("value 4", ""),
    ]
    running.cancel()
    await asyncio.wait([running])
