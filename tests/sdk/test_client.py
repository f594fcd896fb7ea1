import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

import tidegate
from tests.sdk.fake_server import FakeServer, change, fake_server, snapshot
from tests.sdk.flags import V2, make_change, make_flag, make_snapshot
from tidegate import Client, ConfigurationError, Reason, State, Stats
from tidegate.model import Clause, Operator, Rule

STAFF = Rule("staff", (Clause("team", Operator.IN, ("eval",)),), V2)
FIRST = snapshot(make_snapshot(make_flag(shares=(100, 0), rules=(STAFF,)), revision=4))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server(FIRST) as server:
        yield server


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.address, flush_interval=60) as client:
        assert client.wait_ready(10)
        yield client


@pytest.fixture
def lonely() -> Iterator[Client]:
    """A client whose server does not exist."""
    with fake_server() as server:
        address = server.address
    client = Client(address)
    yield client
    client.close(timeout=0)


def outcomes(server: FakeServer) -> list[tuple[str, float]]:
    return [(outcome, value) for *_, outcome, value in server.events() if outcome]


def test_assign(client: Client) -> None:
    choice = client.assign("chat-model", "user-1", {"team": "sales"})
    assert (choice.flag, choice.unit_id) == ("chat-model", "user-1")
    assert (choice.variant, choice.reason, choice.rule) == ("v1", Reason.SPLIT, "")
    assert (choice.revision, choice.phase) == (4, 1)
    assert choice.value["model"] == "llama-v1"
    staff = client.assign("chat-model", "user-1", {"team": "eval"}, default={"model": "other"})
    assert (staff.variant, staff.reason, staff.rule) == ("v2", Reason.RULE, "staff")
    assert staff.value["model"] == "llama-v2"


def test_changes_reach_assign(server: FakeServer, client: Client) -> None:
    server.send(change(make_change(5, make_flag(shares=(0, 100), phase=5))))
    until = time.monotonic() + 10
    while client.assign("chat-model", "user-1").revision == 4:
        assert time.monotonic() < until
    choice = client.assign("chat-model", "user-1")
    assert (choice.variant, choice.revision, choice.phase) == ("v2", 5, 5)


@pytest.mark.parametrize(
    ("flag", "unit_id", "attributes", "reason"),
    [
        ("chat", "user-1", None, Reason.FLAG_NOT_FOUND),
        (5, "user-1", None, Reason.FLAG_NOT_FOUND),
        (None, "user-1", None, Reason.FLAG_NOT_FOUND),
        ("chat-model", "", None, Reason.INVALID_UNIT),
        ("chat-model", 7, None, Reason.INVALID_UNIT),
        ("chat-model", None, None, Reason.INVALID_UNIT),
        ("chat-model", "\ud800", None, Reason.INVALID_UNIT),
        ("chat-model", "user-1", ["team"], Reason.ERROR),
        (["chat-model"], "user-1", None, Reason.ERROR),
    ],
)
def test_what_goes_wrong_gives_the_default_and_a_reason(
    client: Client, flag: Any, unit_id: Any, attributes: Any, reason: Reason
) -> None:
    choice = client.assign(flag, unit_id, attributes, default={"model": "mine"})
    assert (choice.variant, choice.value, choice.reason) == ("", {"model": "mine"}, reason)
    assert client.assign(flag, unit_id, attributes).value is None
    choice.track(rating=5)
    with choice.measure():
        pass
    assert client.stats().refused == 3
    assert client.stats().queued == 0


def test_what_goes_wrong_is_logged_once(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        client.assign("chat-model", 7)  # type: ignore[arg-type]
        client.assign("chat-model", "user-1", ["team"])  # type: ignore[arg-type]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "unit_id must be a string of 1 to 1,000 characters, not 7" in caplog.text
    assert "AttributeError" in caplog.text


def test_exposures_are_recorded_once(server: FakeServer, client: Client) -> None:
    for number in range(20):
        for _ in range(3):
            client.assign("chat-model", f"user-{number}")
    client.assign("chat-model", "user-1", {"team": "eval"})
    client.assign("no-such-flag", "user-1")
    assert client.flush(10)
    assert Counter(server.events()) == {
        ("chat-model", "v1", 1, "", 1.0): 20,
        ("chat-model", "v2", 1, "", 1.0): 1,
    }
    assert client.stats() == Stats(queued=0, acknowledged=21, dropped=0, refused=0)


def test_exposures_can_be_switched_off(server: FakeServer) -> None:
    with Client(server.address, record_exposures=False) as client:
        assert client.wait_ready(10)
        client.assign("chat-model", "user-1").track(rating=5)
    assert server.events() == [("chat-model", "v1", 1, "rating", 5.0)]


def test_outcomes_reach_the_server(server: FakeServer, client: Client) -> None:
    choice = client.assign("chat-model", "user-1")
    choice.track(latency_ms=12.5, error=False)
    client.track("tokens.out", 7, choice)
    client.track("Bad Name", 7, choice)
    client.track("rating", 5, 7)  # type: ignore[arg-type]
    assert client.flush(10)
    assert outcomes(server) == [("latency_ms", 12.5), ("error", 0.0), ("tokens.out", 7.0)]
    assert client.stats() == Stats(queued=0, acknowledged=4, dropped=0, refused=2)
    (batch,) = server.stored.values()
    assert list(batch.unit_ids) == ["user-1"]


def test_outcomes_may_have_any_name_that_is_a_keyword(server: FakeServer, client: Client) -> None:
    client.assign("chat-model", "user-1").track(self=1, outcome=2)
    assert client.flush(10)
    assert outcomes(server) == [("self", 1.0), ("outcome", 2.0)]


def test_measure_reports_time_and_success(server: FakeServer, client: Client) -> None:
    choice = client.assign("chat-model", "user-1")
    with choice.measure() as same:
        assert same is choice
        time.sleep(0.02)
    assert client.flush(10)
    (_, milliseconds), error = outcomes(server)
    assert 20 <= milliseconds < 5_000
    assert error == ("error", 0.0)


def test_measure_reports_a_failure_and_lets_it_through(server: FakeServer, client: Client) -> None:
    choice = client.assign("chat-model", "user-1")
    with pytest.raises(KeyError, match="the model's"), choice.measure():
        raise KeyError("the model's")
    assert client.flush(10)
    assert [outcome for outcome, _ in outcomes(server)] == ["latency_ms", "error"]
    assert outcomes(server)[1] == ("error", 1.0)


def test_without_a_server_nothing_waits_and_nothing_is_raised(lonely: Client) -> None:
    choice = lonely.assign("chat-model", "user-1", default="mine")
    assert (choice.reason, choice.value, choice.variant) == (Reason.NOT_READY, "mine", "")
    choice.track(rating=1)
    assert lonely.state is State.CONNECTING
    assert not lonely.wait_ready(0.01)
    assert lonely.flush(0.01)
    assert lonely.stats() == Stats(queued=0, acknowledged=0, dropped=0, refused=1)


def test_assignments_and_events_outlive_an_outage(server: FakeServer) -> None:
    with Client(server.address, flush_interval=0.01) as client:
        assert client.wait_ready(10)
        server.stop()
        for number in range(100):
            choice = client.assign("chat-model", f"user-{number}")
            assert (choice.variant, choice.reason) == ("v1", Reason.SPLIT)
            choice.track(rating=number)
        assert not client.flush(0.2)
        server.start()
        assert client.flush(20)
        assert client.stats() == Stats(queued=0, acknowledged=200, dropped=0, refused=0)
    assert sorted(value for _, value in outcomes(server)) == list(range(100))


def test_closing_delivers_and_assignments_go_on(server: FakeServer, client: Client) -> None:
    choice = client.assign("chat-model", "user-1")
    choice.track(rating=5)
    client.close()
    assert client.state is State.CLOSED
    assert outcomes(server) == [("rating", 5.0)]
    assert client.assign("chat-model", "user-2").variant == "v1"
    choice.track(rating=4)
    assert client.stats() == Stats(queued=0, acknowledged=2, dropped=2, refused=0)
    client.close()


def test_threads_can_share_a_client(server: FakeServer, client: Client) -> None:
    def work() -> None:
        for number in range(1_000):
            client.assign("chat-model", f"user-{number}").track(rating=number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(20)
    assert client.stats() == Stats(queued=0, acknowledged=5_000, dropped=0, refused=0)
    assert Counter(value for _, value in outcomes(server)) == dict.fromkeys(range(1_000), 4)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_all(st.from_type(object), st.from_type(object), st.from_type(object))
def test_nothing_is_raised(client: Client, one: Any, two: Any, three: Any) -> None:
    for choice in (client.assign(one, two, three), client.assign("chat-model", two, {"team": one})):
        assert choice.variant or choice.reason is not Reason.SPLIT
        choice.track(rating=three)
        client.track(one, two, choice)
    client.track(one, two, three)


def test_two_threads_and_no_more(server: FakeServer) -> None:
    before = set(threading.enumerate())
    with Client(server.address) as client:
        assert client.wait_ready(10)
        names = {thread.name for thread in set(threading.enumerate()) - before}
        assert {name for name in names if name.startswith("tidegate")} == {
            "tidegate-config",
            "tidegate-events",
        }
    assert not {thread for thread in threading.enumerate() if thread.name.startswith("tidegate")}


def test_the_address_may_come_from_the_environment(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_SERVER", server.address)
    with Client() as client:
        assert client.wait_ready(10)
        assert client.address == server.address


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"address": "http://localhost:7070"}, "address: 'http://localhost:7070'"),
        ({"address": "localhost"}, 'form "host:port"'),
        ({"address": "localhost:0"}, "localhost:0"),
        ({"address": "localhost:70700"}, "localhost:70700"),
        ({"address": ""}, "address: ''"),
        ({"address": 7070}, "address: 7070"),
        ({"client_name": "x" * 101}, "client_name"),
        ({"client_name": None}, "client_name"),
        ({"queue_size": 0}, "queue_size: 0"),
        ({"queue_size": "5"}, "queue_size: '5'"),
        ({"batch_size": 10_001}, "batch_size: 10001"),
        ({"batch_size": True}, "batch_size: True"),
        ({"flush_interval": 0}, "flush_interval: 0"),
        ({"flush_interval": float("nan")}, "flush_interval: nan"),
        ({"flush_interval": None}, "flush_interval: None"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client(**({"address": "localhost:7070"} | arguments))
    assert words in str(caught.value)


def test_no_address_at_all_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEGATE_SERVER", raising=False)
    with pytest.raises(ConfigurationError, match="TIDEGATE_SERVER is not set"):
        Client()
    monkeypatch.setenv("TIDEGATE_SERVER", "nonsense")
    with pytest.raises(ConfigurationError, match="TIDEGATE_SERVER: 'nonsense'"):
        Client()


@pytest.mark.parametrize("address", ["127.0.0.1:7070", "tidegate.example.com:1", "[::1]:7070"])
def test_addresses(address: str) -> None:
    with Client(address) as client:
        assert client.address == address


PROGRAM = """
import sys, tidegate
client = tidegate.Client(sys.argv[1], flush_interval=60)
assert client.wait_ready(10)
for number in range(700):
    client.assign("chat-model", f"user-{number}").track(rating=number)
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError('the end')"])
def test_what_is_queued_is_sent_when_the_interpreter_ends(server: FakeServer, end: str) -> None:
    subprocess.run(
        [sys.executable, "-c", PROGRAM + end, server.address],
        timeout=60,
        check=False,
        stderr=subprocess.DEVNULL,
    )
    assert Counter(outcome for *_, outcome, _ in server.events()) == {"": 700, "rating": 700}


def test_the_interpreter_ends_without_a_server_too(lonely: Client) -> None:
    program = """
import sys, tidegate
tidegate.Client(sys.argv[1]).assign("chat-model", "user-1").track(rating=1)
"""
    done = subprocess.run([sys.executable, "-c", program, lonely.address], timeout=60, check=False)
    assert done.returncode == 0


def test_public_names() -> None:
    assert tidegate.__version__.count(".") == 2
    for name in tidegate.__all__:
        assert getattr(tidegate, name).__doc__
