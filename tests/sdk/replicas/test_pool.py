"""Choosing a replica of the assigned version, with a real server at the other end."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import tidegate
from tests.sdk.fake_server import FakeServer, fake_server
from tests.sdk.replicas.fake_replicas import FAILED, FakeReplicas, replica, told
from tests.sdk.test_fork import run
from tests.waiting import until
from tidegate.replicas import PickReason, Replicas
from tidegate.replicas.balance import KnownReplicas, Replica
from tidegate.testing import TestClient


class SetSource:
    """Replicas of an age that a test sets."""

    asleep = False

    def __init__(self, *replicas: Replica) -> None:
        self.known = KnownReplicas()
        self.known.update(replicas)
        self.age: float | None = 0.0

    def wake(self) -> None:
        raise AssertionError("it never sleeps")

    def wait_heard(self, timeout: float | None) -> bool:
        return self.age is not None


def pool_of(source: SetSource, fallback: str = "v1") -> Replicas:
    return Replicas(source, fallback=fallback, longest_stale=60)


@pytest.fixture
def client(server: FakeServer) -> Iterator[tidegate.Client]:
    with tidegate.Client(server.address, flush_interval=0.05) as client:
        assert client.wait_ready(10)
        yield client


def test_a_replica_of_the_assigned_version_is_chosen(
    client: tidegate.Client, replicas: FakeReplicas
) -> None:
    replicas.first = told(replica("a", "v1"), replica("b", "v2", load=0.5, capacity=8))
    pool = client.replicas("chat-model", fallback="v1")
    assert pool.wait_ready(10)
    choice = client.assign("chat-model", "user-1")
    with pool.pick(choice) as chosen:
        assert chosen is not None
        assert (chosen.id, chosen.address, chosen.variant) == ("b", "b:8000", "v2")
        assert (chosen.load, chosen.capacity) == (0.5, 8)
    assert {v: [each.id for each in group] for v, group in pool.by_version.items()} == {
        "v1": ["a"],
        "v2": ["b"],
    }
    assert replicas.flags == ["chat-model"]


@pytest.mark.parametrize("change", [{"state": FAILED}, {"drained": True}, {"variant": ""}])
def test_only_what_takes_traffic_is_chosen_else_the_fallback_and_that_is_recorded(
    client: tidegate.Client, server: FakeServer, replicas: FakeReplicas, change: dict[str, object]
) -> None:
    replicas.first = told(replica("a", "v1"), replica("b", **{"variant": "v2"} | change))  # type: ignore[arg-type]
    pool = client.replicas("chat-model", fallback="v1")
    assert pool.wait_ready(10)
    pick = pool.pick(client.assign("chat-model", "user-1"))
    with pick as chosen:
        assert chosen is not None
        assert chosen.id == "a"
    assert pick.reason is PickReason.FALLBACK
    assert client.flush(10)
    served = [event for event in server.events() if event[3].startswith("served")]
    assert served == [("chat-model", "v2", 1, "served.v1", 1.0)]


def test_where_there_is_none_it_says_why(client: tidegate.Client, replicas: FakeReplicas) -> None:
    pool = client.replicas("chat-model")
    pick = pool.pick(client.assign("chat-model", "user-1"))
    with pick as chosen:
        assert chosen is None
    assert pick.reason is PickReason.NOT_READY
    replicas.send(told(replica("a", "v1")))
    assert pool.wait_ready(10)
    with pick as chosen:
        assert chosen is None
    assert (pick.reason, pick.replica) == (PickReason.NO_REPLICA, None)


def test_news_are_followed_and_an_end_is_no_end(
    client: tidegate.Client, replicas: FakeReplicas
) -> None:
    replicas.first = told(replica("a", "v2"))
    pool = client.replicas("chat-model")
    assert pool.wait_ready(10)
    replicas.send(told(replica("b", "v2")))
    until(lambda: [each.id for each in pool.by_version["v2"]] == ["b"])
    replicas.first = told(replica("c", "v2"))
    replicas.end_watches()
    until(lambda: [each.id for each in pool.by_version["v2"]] == ["c"])
    assert replicas.watches == 2


def test_while_the_server_is_away_the_last_known_ones_are_used(
    client: tidegate.Client,
    server: FakeServer,
    replicas: FakeReplicas,
    caplog: pytest.LogCaptureFixture,
) -> None:
    replicas.first = told(replica("a", "v2"))
    pool = client.replicas("chat-model")
    assert pool.wait_ready(10)
    with caplog.at_level(logging.WARNING, "tidegate"):
        server.stop()
        until(lambda: "lost the replicas of flag chat-model" in caplog.text)
    pick = pool.pick(client.assign("chat-model", "user-1"))
    with pick as chosen:
        assert chosen is not None
    replicas.first = told(replica("b", "v2"))
    server.start()
    until(lambda: [each.id for each in pool.by_version["v2"]] == ["b"])


def test_a_silent_stream_is_opened_anew(client: tidegate.Client, replicas: FakeReplicas) -> None:
    replicas.first = told(replica("a", "v2"), interval_ms=100)
    assert client.replicas("chat-model").wait_ready(10)
    replicas.until(lambda: replicas.watches >= 2)


def test_pools_of_a_flag_share_one_stream(client: tidegate.Client, replicas: FakeReplicas) -> None:
    replicas.first = told(replica("a", "v2"))
    pools = [client.replicas("chat-model", fallback=fallback) for fallback in ("", "v1", "v2")]
    assert all(pool.wait_ready(10) for pool in pools)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("tidegate-replicas") == 1
    other = client.replicas("other")
    assert other.wait_ready(10)
    assert replicas.flags == ["chat-model", "other"]


def test_without_replicas_there_is_no_thread_for_them(client: tidegate.Client) -> None:
    assert not [each for each in threading.enumerate() if each.name == "tidegate-replicas"]


def test_a_closed_or_offline_client_has_none(server: FakeServer) -> None:
    with tidegate.Client(server.address) as client:
        assert client.wait_ready(10)
    for one in (client, tidegate.Client(offline=True)):
        pool = one.replicas("chat-model")
        assert not pool.wait_ready(0.01)
        with pool.pick(one.assign("chat-model", "u")) as chosen:
            assert chosen is None


def test_an_older_server_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with fake_server() as server, tidegate.Client(server.address) as client:
        pool = client.replicas("chat-model")
        until(lambda: "does not know of replicas" in caplog.text)
        assert not pool.by_version


def test_wrong_arguments_are_named(client: tidegate.Client) -> None:
    with pytest.raises(tidegate.ConfigurationError, match="fallback: None is no key"):
        client.replicas("chat-model", fallback=None)  # type: ignore[arg-type]
    with pytest.raises(tidegate.ConfigurationError, match="longest_stale: 0 is out of range"):
        client.replicas("chat-model", longest_stale=0)


def test_what_is_known_is_used_for_a_bounded_time() -> None:
    source = SetSource(Replica("a", "a:80", "v2"))
    pool, choice = pool_of(source), TestClient({"f": "v2"}).assign("f", "u")
    for age, reason in [
        (0.0, PickReason.ASSIGNED),
        (60.0, PickReason.ASSIGNED),
        (60.1, PickReason.STALE),
        (None, PickReason.NOT_READY),
    ]:
        source.age = age
        pick = pool.pick(choice)
        with pick as chosen:
            assert (chosen is not None) is (reason is PickReason.ASSIGNED)
        assert pick.reason is reason


def test_a_request_is_under_way_during_the_block_and_a_failure_counts() -> None:
    source = SetSource(Replica("a", "a:80", "v2"))
    (member,) = source.known.groups["v2"]
    pool, choice = pool_of(source), TestClient({"f": "v2"}).assign("f", "u")
    with pool.pick(choice):
        assert member.business == 1
    assert member.business == 0
    with pytest.raises(KeyError), pool.pick(choice):
        raise KeyError
    assert (len(member.under_way), member.business) == (0, 1)
    with pytest.raises(GeneratorExit), pool.pick(choice):
        raise GeneratorExit
    assert member.business == 1


def test_without_a_variant_the_fallback_is_asked_and_nothing_is_recorded() -> None:
    client = TestClient()
    pool = pool_of(SetSource(Replica("a", "a:80", "v1")))
    pick = pool.pick(client.assign("nothing", "u"))
    with pick as chosen:
        assert chosen is not None
    assert pick.reason is PickReason.FALLBACK
    assert client.tracked == []
    assert client.stats().refused == 0


def test_nothing_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    pick = pool_of(SetSource()).pick(None)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "tidegate"), pick as chosen:
        assert chosen is None
    assert pick.reason is PickReason.ERROR
    assert "no replica can be chosen" in caplog.text


def test_many_threads_at_once() -> None:
    source = SetSource(*(Replica(f"r{i}", f"r{i}:80", "v2") for i in range(3)))
    pool, choice = pool_of(source), TestClient({"f": "v2"}).assign("f", "u")

    def work() -> None:
        for _ in range(2_000):
            with pool.pick(choice) as chosen:
                assert chosen is not None

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for index in range(200):
        source.known.update(Replica(f"r{i}", f"r{i}:80", "v2", heard=index) for i in range(3))
    for thread in threads:
        thread.join()
    assert [len(member.under_way) for member in source.known.groups["v2"]] == [0, 0, 0]


def test_a_test_sets_the_replicas_of_its_client() -> None:
    client = TestClient({"chat-model": "v1"})
    client.set("chat-model", "v2")
    pool = client.replicas("chat-model", fallback="v1")
    client.set_replicas("chat-model", {"v1": ["old:80"], "v2": ["new:80"]})
    assert pool.wait_ready()
    with pool.pick(client.assign("chat-model", "u")) as chosen:
        assert chosen is not None
        assert chosen.address == "new:80"
    client.set_replicas("chat-model", {"v1": ["old:80"]})
    with pool.pick(client.assign("chat-model", "u")) as chosen:
        assert chosen is not None
        assert chosen.address == "old:80"
    assert [(each.variant, each.name) for each in client.tracked] == [("v2", "served.v1")]


def test_a_child_process_follows_by_itself_and_counts_anew(
    server: FakeServer, replicas: FakeReplicas, tmp_path: Path
) -> None:
    replicas.first = told(replica("a", "v2"))
    picked = tmp_path / "picked"

    def send() -> None:
        replicas.until(lambda: replicas.watches == 2, 30)
        until(picked.exists)
        replicas.send(told(replica("c", "v2")))

    sender = threading.Thread(target=send)
    sender.start()
    said = run(
        server,
        f"""
from pathlib import Path
pool = client.replicas("chat-model", fallback="v1")
assert pool.wait_ready(20)
choice = client.assign("chat-model", "user-1")
def names():
    return [each.id for each in pool.by_version["v2"]]
def work():
    assert threading.active_count() == 1
    with pool.pick(choice) as chosen:
        (member,) = pool._source.known.groups["v2"]
        say(under_way=len(member.under_way), id=chosen.id)
    Path({str(picked)!r}).touch()
    until(lambda: names() == ["c"])
    client.close()
with pool.pick(choice):
    pid = forked(work)
    until(lambda: names() == ["c"])
    wait_for([pid])
client.close()
""",
    )
    sender.join()
    assert said == [{"under_way": 1, "id": "a"}]


@pytest.mark.parametrize("offline", [True, False])
def test_who_will_never_hear_of_replicas_does_not_wait_for_them(offline: bool) -> None:
    client = tidegate.Client("127.0.0.1:1", offline=offline)
    client.close()
    pool = client.replicas("chat-model")
    waited: list[bool] = []
    waiting = threading.Thread(target=lambda: waited.append(pool.wait_ready()), daemon=True)
    waiting.start()
    waiting.join(5)
    assert waited == [False]
