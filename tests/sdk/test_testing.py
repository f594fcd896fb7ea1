import inspect
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

import tidegate
from tests.sdk.flags import V2, make_flag, make_snapshot
from tidegate import Client, ConfigurationError, Reason, State, Stats
from tidegate.bucketing import unit_hash
from tidegate.evaluation import CompiledSnapshot
from tidegate.model import Clause, Operator, Prerequisite, Rule
from tidegate.testing import Exposure, TestClient, Tracked

SNAPSHOT = make_snapshot(
    make_flag(rules=(Rule("staff", (Clause("team", Operator.IN, ("eval",)),), V2),), killed=True),
    make_flag("other"),
)


@pytest.fixture
def client() -> TestClient:
    return TestClient({"chat-model": ("v2", {"endpoint": "http://new"}), "button": "blue"})


def answer(client: Client, user_id: str) -> str:
    """Stands for the application."""
    choice = client.assign("chat-model", user_id, default={"endpoint": "http://old"})
    with choice.measure():
        endpoint: str = choice.value["endpoint"]
    choice.track(rating=5)
    return endpoint


def test_an_application_is_given_what_the_test_sets(client: TestClient) -> None:
    assert answer(client, "user-1") == "http://new"
    client.set("chat-model", "v3", {"endpoint": "http://newer"})
    assert answer(client, "user-1") == "http://newer"
    client.delete("chat-model")
    assert answer(client, "user-1") == "http://old"


def test_what_was_reported_can_be_read(client: TestClient) -> None:
    answer(client, "user-1")
    assert client.tracked[1:] == [
        ("chat-model", "v2", "user-1", "error", 0.0),
        ("chat-model", "v2", "user-1", "rating", 5.0),
    ]
    latency = client.tracked[0]
    assert isinstance(latency, Tracked)
    assert (latency.name, latency.unit_id) == ("latency_ms", "user-1")
    assert 0 <= latency.value < 1_000
    assert client.exposures == [Exposure("chat-model", "v2", "user-1")]
    assert client.stats() == Stats(queued=0, acknowledged=4, dropped=0, refused=0)


def test_exposures_are_recorded_once_or_not_at_all(client: TestClient) -> None:
    for _ in range(3):
        client.assign("button", "user-1")
    assert client.exposures == [("button", "blue", "user-1")]
    quiet = TestClient({"button": "blue"}, record_exposures=False)
    quiet.assign("button", "user-1")
    assert quiet.exposures == []


def test_what_was_reported_can_be_forgotten(client: TestClient) -> None:
    choice = client.assign("button", "user-1")
    choice.track(rating=5)
    client.clear()
    assert client.tracked == []
    assert client.exposures == []
    choice.track(rating=4)
    client.assign("button", "user-1")
    assert client.tracked == [("button", "blue", "user-1", "rating", 4.0)]
    assert client.exposures == [("button", "blue", "user-1")]


def test_an_assignment_says_what_a_real_one_says(client: TestClient) -> None:
    choice = client.assign("button", "user-1")
    assert (choice.variant, choice.value, choice.reason) == ("blue", {}, Reason.SPLIT)
    assert choice.phase >= 1
    assert choice.revision >= choice.phase
    assert client.assign("no-such-flag", "user-1").reason is Reason.FLAG_NOT_FOUND
    assert client.assign("button", "").reason is Reason.INVALID_UNIT
    with pytest.raises(TypeError, match="cannot be changed"):
        client.assign("chat-model", "user-1").value["endpoint"] = "x"


def test_real_flags_are_evaluated_as_in_production() -> None:
    client = TestClient(snapshot=SNAPSHOT)
    compiled = CompiledSnapshot(SNAPSHOT)
    for number in range(100):
        unit = f"user-{number}"
        assert client.assign("other", unit).variant == compiled.evaluate("other", unit).variant
    assert client.assign("chat-model", "user-1").reason is Reason.KILLED


def test_a_real_flag_can_be_fixed() -> None:
    client = TestClient({"chat-model": "v3"}, snapshot=SNAPSHOT)
    choice = client.assign("chat-model", "user-1", {"team": "eval"})
    assert (choice.variant, choice.reason, choice.value["model"]) == (
        "v3",
        Reason.SPLIT,
        "llama-v3",
    )
    choice.served("v1")
    assert client.tracked == [("chat-model", "v3", "user-1", "served.v1", 1.0)]
    client.set("chat-model", "v3", {})
    assert client.assign("chat-model", "user-1").value == {}


def test_a_fixed_flag_has_neither_holdout_nor_prerequisites() -> None:
    needy = make_flag(prerequisites=(Prerequisite(make_flag("other").key, (V2,)),))
    client = TestClient(snapshot=make_snapshot(needy))
    client.set("chat-model", "v2")
    assert client.assign("chat-model", "user-1").variant == "v2"


def test_tokens(client: TestClient) -> None:
    choice = client.assign("chat-model", "user-1")
    client.track("rating", 5, choice.token)
    assert client.tracked == [("chat-model", "v2", "user-1", "rating", 5.0)]
    another = TestClient()
    another.track("rating", 5, choice.token)
    assert another.tracked == [("chat-model", "v2", f"{unit_hash('user-1'):016x}", "rating", 5.0)]


def test_sessions(client: TestClient) -> None:
    client.set("chat-model", "v2")
    client.assign("chat-model", "user-1", session_id="s")
    client.set("chat-model", "v1")
    assert client.assign("chat-model", "user-1", session_id="s").variant == "v1"  # a rollback


def test_what_is_wrong_is_refused_as_by_a_client(client: TestClient) -> None:
    client.track("Bad Name", 1, client.assign("button", "user-1"))
    client.track("rating", float("nan"), client.assign("button", "user-1"))
    client.track("rating", 1, "no token")
    assert client.tracked == []
    assert client.stats().refused == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Chat", "v1"), "flag: 'Chat'"),
        ((5, "v1"), "flag: 5"),
        (("chat", "V 1"), "variant: 'V 1'"),
        (("chat", "v1", {"when": object()}), "value.when"),
        (("chat", "v1", {"n": 2**60}), "value.n"),
    ],
)
def test_wrong_settings_are_named(
    client: TestClient, arguments: tuple[Any, ...], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client.set(*arguments)
    assert words in str(caught.value)


def test_explanations(client: TestClient) -> None:
    explanation = client.explain("button", "user-1")
    assert explanation.assignment.variant == "blue"
    assert explanation.steps[-1].decided
    assert client.exposures == []


def test_callbacks(client: TestClient) -> None:
    told: list[Any] = []
    endings = [client.on_state_change(told.append), client.on_change(told.append)]
    client.set("button", "red")
    client.delete("chat-model")
    client.become(State.STALE)
    client.become(State.STALE)
    client.close()
    assert [getattr(each, "flags", each) for each in told] == [
        {"button"},
        {"chat-model"},
        State.STALE,
        State.CLOSED,
    ]
    assert told[1].revision == told[0].revision + 1
    for end in endings:
        end()
    client.set("button", "blue")
    client.become(State.READY)
    assert len(told) == 4


async def test_waiting_asynchronously(client: TestClient) -> None:
    assert await client.ready(0)
    assert client.snapshot_age == 0.0


def test_states(client: TestClient) -> None:
    assert client.state is State.READY
    assert client.wait_ready(0)
    assert client.flush()
    with client as same:
        assert same is client
    assert client.state.value == "CLOSED"
    assert not client.wait_ready(0)
    assert client.assign("button", "user-1").variant == "blue"


def test_no_connection_and_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_channel(*_: Any, **__: Any) -> None:
        raise AssertionError("it connects")

    monkeypatch.setattr(grpc, "insecure_channel", no_channel)
    before = set(threading.enumerate())
    with TestClient({"button": "blue"}) as client:
        answer(client, "user-1")
        assert set(threading.enumerate()) == before


def test_all_of_a_client_is_there() -> None:
    """What a Client can do without its connection is inherited; the rest must be replaced."""
    connected = {
        name
        for name, member in vars(Client).items()
        if not name.startswith("_")
        and re.search(
            r"self\._(link|wake)",
            inspect.getsource(getattr(member, "fget", None) or member),
        )
    }
    assert connected >= {"state", "wait_ready", "flush", "close"}
    assert connected <= vars(TestClient).keys()


def test_pytest_does_not_collect_it() -> None:
    assert TestClient.__test__ is False


def test_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(
        "def test_app(tidegate_client):\n"
        "    tidegate_client.set('button', 'blue')\n"
        "    tidegate_client.assign('button', 'user-1').track(rating=5)\n"
        "    assert tidegate_client.tracked == [('button', 'blue', 'user-1', 'rating', 5.0)]\n"
        "def test_another(tidegate_client):\n"
        "    assert tidegate_client.assign('button', 'user-1').variant == ''\n"
    )
    program = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tidegate_pytest",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*program, str(tmp_path)],
        cwd=tmp_path,
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_imports_nothing_of_tidegate() -> None:
    program = "import sys, tidegate_pytest; assert 'tidegate' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_public_names() -> None:
    assert not hasattr(tidegate, "TestClient")
