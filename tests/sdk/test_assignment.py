import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from tests.sdk.fake_server import FakeServer, change, fake_server, snapshot
from tests.sdk.flags import V2, make_change, make_flag, make_snapshot
from tidegate import Client, ModelVersion, Reason
from tidegate.bucketing import unit_hash
from tidegate.model import Clause, Flag, Operator, Rule, Variant, VariantKey
from tidegate.model_version import version_id

STAFF = Rule("staff", (Clause("team", Operator.IN, ("eval",)),), V2)
FLAG = make_flag(shares=(100, 0), phase=3, rules=(STAFF,))
VALUE = FLAG.variants[0].value


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server(snapshot(make_snapshot(FLAG, revision=4))) as server:
        yield server


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.address, flush_interval=60) as client:
        assert client.wait_ready(10)
        yield client


def outcomes(server: FakeServer) -> list[tuple[str, int, bool, str, str, float, int]]:
    """Return variant, phase, outside_split, version_id, outcome, value and unit of all outcomes."""
    found = []
    for batch in server.stored.values():
        columns = zip(batch.series_indexes, batch.values, batch.unit_hashes, strict=True)
        for index, value, unit in columns:
            each = batch.series[index]
            if each.outcome:
                found.append(
                    (
                        each.variant,
                        each.phase,
                        each.outside_split,
                        each.version_id,
                        each.outcome,
                        value,
                        unit,
                    )
                )
    return found


def change_flag(server: FakeServer, client: Client, revision: int, flag: Flag) -> None:
    server.send(change(make_change(revision, flag)))
    until = time.monotonic() + 10
    while client.assign("chat-model", "somebody").revision < revision:
        assert time.monotonic() < until


LATER = """
import sys, tidegate
with tidegate.Client(sys.argv[1]) as client:
    client.track("rating", 5, sys.argv[2])
"""


def test_a_token_reports_from_another_process_without_a_snapshot(
    server: FakeServer, client: Client
) -> None:
    choice = client.assign("chat-model", "user-1")
    assert len(choice.token) <= 64
    server.first = []  # no flags for the other process
    subprocess.run([sys.executable, "-c", LATER, server.address, choice.token], check=True)
    choice.track(rating=4)
    assert client.flush(10)
    unit, version = unit_hash("user-1"), version_id(VALUE)
    assert outcomes(server) == [
        ("v1", 3, False, version, "rating", 5.0, unit),
        ("v1", 3, False, version, "rating", 4.0, unit),
    ]
    elsewhere = next(iter(server.stored.values()))
    assert not elsewhere.unit_ids


def test_a_token_of_a_phase_that_is_over_stays_in_it(server: FakeServer, client: Client) -> None:
    token = client.assign("chat-model", "user-1").token
    change_flag(server, client, 5, make_flag(shares=(0, 100), phase=5))
    client.track("rating", 5, token)
    client.track("rating", 4, client.assign("chat-model", "user-1"))
    assert client.flush(10)
    assert [each[:2] for each in outcomes(server)] == [("v1", 3), ("v2", 5)]


def test_what_lies_outside_the_split_says_so(server: FakeServer, client: Client) -> None:
    choice = client.assign("chat-model", "user-1", {"team": "eval"})
    choice.track(rating=5)
    client.track("rating", 4, choice.token)
    assert client.flush(10)
    assert [each[:3] for each in outcomes(server)] == [("v2", 3, True)] * 2
    exposures = [
        each
        for batch in server.stored.values()
        for each in batch.series
        if not each.outcome and each.variant == "v2"
    ]
    assert [each.outside_split for each in exposures] == [True]


def test_without_a_variant_there_is_no_token(client: Client) -> None:
    token = client.assign("no-such-flag", "user-1", default=object()).token
    assert token == ""
    client.track("rating", 5, token)
    assert client.stats().refused == 1


def test_a_fallback_is_reported_under_the_assigned_variant(
    server: FakeServer, client: Client
) -> None:
    choice = client.assign("chat-model", "user-1")
    choice.served("v2")
    choice.served("v1")
    choice.served("v9")
    assert client.flush(10)
    assert [(each[0], *each[4:6]) for each in outcomes(server)] == [("v1", "served.v2", 1.0)]
    assert client.stats().refused == 1


def test_a_model_version_can_be_read(client: Client) -> None:
    choice = client.assign("chat-model", "user-1")
    version = choice.model_version
    assert version == ModelVersion("llama-v1")
    assert client.assign("chat-model", "user-2").model_version is version
    assert client.assign("no-such-flag", "user-1", default=object()).model_version is None


def test_a_value_may_be_no_model_version() -> None:
    variants = (Variant(VariantKey("v1"), {"colour": "blue"}),)
    flag = make_flag(shares=(100,), variants=variants)
    with (
        fake_server(snapshot(make_snapshot(flag))) as server,
        Client(server.address) as client,
    ):
        assert client.wait_ready(10)
        assert client.assign("chat-model", "user-1").model_version is None


def test_a_session_keeps_its_variant_until_a_rollback(server: FakeServer, client: Client) -> None:
    def ask(session_id: str | None) -> tuple[str, int, Reason]:
        choice = client.assign("chat-model", "user-1", session_id=session_id)
        return choice.variant, choice.phase, choice.reason

    assert ask("s1") == ("v1", 3, Reason.SPLIT)
    change_flag(server, client, 5, make_flag(shares=(1, 99), phase=5))
    assert ask("s1") == ("v1", 3, Reason.PINNED)
    assert ask("s2") == ask(None) == ("v2", 5, Reason.SPLIT)
    client.assign("chat-model", "user-1", session_id="s1").track(rating=5)
    change_flag(server, client, 6, make_flag(shares=(0, 100), phase=6))
    assert ask("s1") == ("v2", 6, Reason.SPLIT)
    assert client.flush(10)
    assert [each[:3] for each in outcomes(server)] == [("v1", 3, False)]


@pytest.mark.parametrize("session_id", ["", 7, "x" * 1_001, "\ud800", ["s"]])
def test_an_invalid_session_is_no_session_and_logged_once(
    client: Client, caplog: pytest.LogCaptureFixture, session_id: Any
) -> None:
    for _ in range(3):
        choice = client.assign("chat-model", "user-1", session_id=session_id)
        assert (choice.variant, choice.reason) == ("v1", Reason.SPLIT)
    assert len(caplog.records) == 1
    assert "session_id must be a string of 1 to 1,000 characters" in caplog.text


@pytest.mark.parametrize(
    ("flag", "unit_id", "reason"),
    [
        ("no-such-flag", "user-1", Reason.FLAG_NOT_FOUND),
        ("no-such-flag", 7, Reason.FLAG_NOT_FOUND),
        ("chat-model", 7, Reason.INVALID_UNIT),
        ("chat-model", [], Reason.INVALID_UNIT),
    ],
)
def test_what_goes_wrong_goes_wrong_alike_in_a_session(
    client: Client, flag: str, unit_id: Any, reason: Reason
) -> None:
    choice = client.assign(flag, unit_id, default="mine", session_id="s")
    assert (choice.reason, choice.value) == (reason, "mine")


def test_the_unit_may_be_an_attribute(server: FakeServer, client: Client) -> None:
    change_flag(server, client, 5, make_flag(shares=(50, 50), phase=5, unit_attribute="account"))
    change_flag(server, client, 6, make_flag("other", shares=(50, 50)))
    for number in range(20):
        attributes = {"account": f"account-{number}"}
        one = client.assign("chat-model", "user-1", attributes, session_id="s")
        two = client.assign("chat-model", "user-2", attributes)
        assert (one.unit_id, two.unit_id) == (f"account-{number}",) * 2
        assert one.variant == two.variant
        one.track(rating=number)
    assert client.flush(10)
    assert {each[-1] for each in outcomes(server)} == {
        unit_hash(f"account-{number}") for number in range(20)
    }
    exposed = [
        unit
        for batch in server.stored.values()
        for index, unit in zip(batch.series_indexes, batch.unit_hashes, strict=True)
        if not batch.series[index].outcome and batch.series[index].phase == 5
    ]
    accounts = {unit_hash(f"account-{number}") for number in range(20)}
    assert sorted(exposed) == sorted(accounts | {unit_hash("somebody")})


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@for_all(st.from_type(object), st.from_type(object), st.from_type(object))
def test_nothing_is_raised(client: Client, one: Any, two: Any, three: Any) -> None:
    for choice in (
        client.assign(one, two, three, session_id=one),
        client.assign("chat-model", "user-1", {"team": one}, session_id=two),
        client.assign("chat-model", two, session_id="s"),
    ):
        choice.served(one)
        client.track("rating", three, choice.token)
        assert choice.model_version is None or choice.variant
    client.track("rating", 5, one)
